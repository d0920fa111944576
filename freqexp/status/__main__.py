"""`python -m freqexp.status [SWEEP]`: how far each point of a sweep is, and why not further.

Read from the files of the sweep and from squeue alone, so it works while the sweep runs, after it,
from a login node, and without SLURM.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import sys
import time
from pathlib import Path

from freqexp.errors import DONE, exit_code
from freqexp.paths import OUTPUT_DIR, with_output_dir
from freqexp.status.points import SweepStatus, find_sweep, sweep_status
from freqexp.status.text import as_json, render

WATCH_SECONDS = 5.0
MOST_POINTS = 40
CLEAR = "\x1b[H\x1b[2J"


def main(arguments: list[str] | None = None) -> int:
    """The command. Returns its exit code: 0 shown, 2 bad input, 130 Ctrl-C."""
    options = parser().parse_args(with_output_dir(sys.argv[1:] if arguments is None else arguments))
    with contextlib.suppress(AttributeError):
        # An error text can hold what the terminal's encoding has no character for.
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    return exit_code(lambda: _command(options))


def _command(options: argparse.Namespace) -> int:
    file = find_sweep(options.sweep, Path(options.output_dir))
    if options.watch:
        with contextlib.suppress(KeyboardInterrupt):
            watch(file, options.all, options.interval)
    elif options.json:
        print(as_json(sweep_status(file)))
    else:
        print(table(sweep_status(file), options.all))
    return DONE


def parser() -> argparse.ArgumentParser:
    """What can be asked."""
    made = argparse.ArgumentParser(prog="python -m freqexp.status", description=__doc__)
    made.add_argument(
        "sweep", nargs="?", help="a sweep's name, folder or sweep.json (default: the newest)"
    )
    made.add_argument(*OUTPUT_DIR, default="outputs", help="where sweeps/ and runs/ are")
    shapes = made.add_mutually_exclusive_group()
    shapes.add_argument("--json", action="store_true", help="everything as one JSON object")
    shapes.add_argument("--watch", action="store_true", help="refresh until nothing is under way")
    made.add_argument("--interval", type=seconds, default=WATCH_SECONDS, help="of --watch, seconds")
    made.add_argument(
        "--all", action="store_true", help=f"every point, not {MOST_POINTS} with the urgent ones"
    )
    return made


def seconds(word: str) -> float:
    """A time of at least half a second. Raises ArgumentTypeError."""
    with contextlib.suppress(ValueError):
        if 0.5 <= float(word) < float("inf"):
            return float(word)
    raise argparse.ArgumentTypeError(f"got {word!r}, allowed: seconds, at least 0.5")


def watch(file: Path, everything: bool, interval: float) -> None:
    """Show it again and again, over itself on a terminal, until nothing is under way."""
    shown = None
    while True:
        status = sweep_status(file)
        text = table(status, everything)
        if sys.stdout.isatty():
            print(f"{CLEAR}{text}\n{time.strftime('%H:%M:%S')}, Ctrl-C ends this", flush=True)
        elif text != shown:
            print(text, end="\n\n", flush=True)
        shown = text
        if status.over:
            return
        time.sleep(interval)


def table(status: SweepStatus, everything: bool) -> str:
    """The table, as wide as the terminal is."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 200
    return render(status, width, None if everything else MOST_POINTS)


if __name__ == "__main__":
    sys.exit(main())
