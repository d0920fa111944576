"""How a sweep that was waited for ended."""

from __future__ import annotations

import sys
from pathlib import Path

from freqexp.files import read_json
from freqexp.running.execute import label
from freqexp.running.sweep import finished, show
from freqexp.running.sweep_file import SWEEP
from freqexp.status.logs import SAID, reason, tail
from freqexp_cluster.node import ERROR, INTERRUPTED, SUBMISSION
from freqexp_cluster.todo import Sweep

DONE, FAILED = 0, 1


def conclude(sweep: Sweep) -> int:
    """Print the table of what is complete, and why the rest is not. Gives the exit code."""
    summaries, faults = [], []
    for point in sweep.runs:
        summary = finished(point.cfg, sweep.session)
        if summary is not None:
            summaries.append(summary)
        else:
            faults.append(
                f"{label(point.cfg)} (run {point.run_id}): "
                f"{why(sweep.run_folder(point), sweep.name)}"
            )
    show(summaries, sweep.runs, sweep.folder / SWEEP)
    if not faults:
        return DONE
    print(f"freqexp: {len(summaries)} of the runs are complete, these are not:", file=sys.stderr)
    print("\n".join(faults), file=sys.stderr)
    print("the same command computes what is missing", file=sys.stderr)
    return FAILED


def why(folder: Path, sweep: str) -> str:
    """What ended an incomplete run of a sweep, in one line."""
    submission = read_json(folder / SUBMISSION) or {}
    log = submission.get("log")
    place = f"; log: {log}" if log else ""
    if (folder / ERROR).exists():
        lines = (folder / ERROR).read_text("utf-8", "replace").strip().splitlines()
        return f"{lines[-1] if lines else 'an error without a text'}{place}"
    interrupted = read_json(folder / INTERRUPTED)
    if interrupted is not None:
        return f"interrupted by {', '.join(interrupted['signals'])}{place}"
    if log is None:
        return "not started"
    if submission.get("sweep") != sweep:
        return f"its job was of the sweep {submission.get('sweep')}, for other samples{place}"
    if not Path(log).exists():
        return f"cancelled before it started, or the node can't write {folder.parent.parent}"
    said = reason(tail(Path(log)))
    if said is not None and said.startswith(SAID):
        return f"{said.removeprefix(SAID)}{place}"
    return f"killed or cancelled{place}"
