"""How a sweep that was waited for ended."""

from __future__ import annotations

import sys
from pathlib import Path

from freqexp.files import read_json
from freqexp.results.summary import SUMMARY, samples_asked
from freqexp.running.execute import label
from freqexp.running.sweep import finished, show
from freqexp.running.sweep_file import SWEEP
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
                f"{why(sweep.run_folder(point), point.cfg.samples)}"
            )
    show(summaries, sweep.runs, sweep.folder / SWEEP)
    if not faults:
        return DONE
    print(f"freqexp: {len(summaries)} of the runs are complete, these are not:", file=sys.stderr)
    print("\n".join(faults), file=sys.stderr)
    print("the same command computes what is missing", file=sys.stderr)
    return FAILED


def why(folder: Path, samples: int) -> str:
    """What ended a run that has not answered `samples` samples, in one line."""
    log = (read_json(folder / SUBMISSION) or {}).get("log")
    place = f"; log: {log}" if log else ""
    if (folder / ERROR).exists():
        lines = (folder / ERROR).read_text("utf-8", "replace").strip().splitlines()
        return f"{lines[-1] if lines else 'an error without a text'}{place}"
    interrupted = read_json(folder / INTERRUPTED)
    if interrupted is not None:
        return f"interrupted by {', '.join(interrupted['signals'])}{place}"
    answered = samples_asked(read_json(folder / SUMMARY) or {})
    if 0 < answered < samples:
        return f"its job was of another sweep, for {answered} samples of {samples}{place}"
    if log is None:
        return "not started"
    if not Path(log).exists():
        return f"cancelled before it started, or the node can't write {folder.parent.parent}"
    return f"killed or cancelled{place}"
