"""What the log of a job says of its end."""

from __future__ import annotations

from pathlib import Path

TAIL_BYTES = 16384
SAID = "freqexp: "
"""What this package's own lines in a log begin with."""


def tail(file: Path) -> str | None:
    """The end of a text file, whatever its bytes are; None when there is none."""
    try:
        with file.open("rb") as opened:
            size = opened.seek(0, 2)
            opened.seek(max(0, size - TAIL_BYTES))
            return opened.read().decode("utf-8", errors="replace")
    except OSError:
        return None


def last_line(content: str | None) -> str | None:
    """The last line that is not empty."""
    lines = [line for line in (content or "").splitlines() if line.strip()]
    return lines[-1].strip() if lines else None


def reason(content: str | None) -> str | None:
    """Why a job ended, from its log: what this package said of it in the newest life, else the last
    line that is not srun's, which only repeats that something ended.
    """
    lines = [line.strip() for line in (content or "").splitlines() if line.strip()]
    began = [index for index, line in enumerate(lines) if line.startswith(f"{SAID}launched in")]
    newest = lines[began[-1] + 1 :] if began else lines
    ours = [line for line in newest if line.startswith(SAID)]
    killed = [line for line in newest if "oom" in line.lower() and "kill" in line.lower()]
    others = [line for line in newest if not line.startswith(("srun: ", "submitit "))]
    for chosen in (ours, killed, others, newest, lines):
        if chosen:
            return chosen[-1]
    return None
