"""The state of each point of a sweep, from its files and from what is alive."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from freqexp.errors import UserError
from freqexp.files import read_json
from freqexp.status.files import RunFiles, count, read_run, record_files
from freqexp.status.live import Job, QueueError, held_inodes, is_held, queue
from freqexp.status.logs import reason, tail

STATES = (
    "failed",
    "timeout",
    "cancelled",
    "missing",
    "interrupted",
    "requeued",
    "running",
    "pending",
    "done",
)
"""Those that want something done first. missing: never begun, and nothing will begin it.
interrupted: begun, and nothing goes on with it. requeued: waits for its next life."""

WAITING = ("running", "requeued", "pending")
"""States that change without anybody doing anything."""

# SLURM's states, by ours. A job that completed without a summary was interrupted.
_FROM_SLURM = {
    **dict.fromkeys(("RUNNING", "COMPLETING", "CONFIGURING", "STAGE_OUT", "SIGNALING"), "running"),
    **dict.fromkeys(("PENDING", "SUSPENDED", "STOPPED", "RESIZING", "RESV_DEL_HOLD"), "pending"),
    **dict.fromkeys(("REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT"), "requeued"),
    **dict.fromkeys(("FAILED", "NODE_FAIL", "BOOT_FAIL", "OUT_OF_MEMORY", "REVOKED"), "failed"),
    **dict.fromkeys(("TIMEOUT", "DEADLINE"), "timeout"),
    **dict.fromkeys(("COMPLETED", "PREEMPTED"), "interrupted"),
    "CANCELLED": "cancelled",
}

# What SLURM writes into a job's log when it ends it: "*** JOB 7 ON node1 CANCELLED AT
# 2026-11-21T10:00:00 DUE TO TIME LIMIT ***", or without a reason.
_ENDED = re.compile(r"\*\*\* (?:JOB|STEP) \S+ ON \S+ CANCELLED AT \S+(?: DUE TO ([^*]+?))? \*\*\*")
_ENDED_BY = {None: "cancelled", "TIME LIMIT": "timeout"}

RECENT_SECONDS = 300.0
"""Where squeue cannot be asked, a run whose newest record is younger is taken to be running."""


@dataclass(frozen=True)
class PointStatus:
    """One point of a sweep. note: why it failed or waits, in one line, as its source has it.

    rate: samples a second, None unless it is running and has some. left: seconds.
    """

    run: RunFiles
    state: str
    note: str | None
    rate: float | None
    left: float | None


@dataclass(frozen=True)
class SweepStatus:
    """All points of one sweep. warning: what could not be found out, or None."""

    name: str
    file: Path
    points: tuple[PointStatus, ...]
    warning: str | None

    def counts(self) -> dict[str, int]:
        """How many points are in each state, without the states of none."""
        found = [point.state for point in self.points]
        return {state: found.count(state) for state in reversed(STATES) if state in found}

    @property
    def over(self) -> bool:
        """Whether nothing will change by itself any more."""
        return all(point.state not in WAITING for point in self.points)


def find_sweep(name: str | None, output_dir: Path) -> Path:
    """The sweep.json of a sweep: by name, folder or file; without any the newest one's.

    Raises UserError when there is none.
    """
    sweeps = output_dir / "sweeps"
    # One of them is a link to the newest.
    files = {file.resolve() for file in sweeps.glob("*/sweep.json")}
    if name is None:
        if not files:
            raise UserError(f"no sweep in {output_dir}; --output-dir FOLDER looks elsewhere")
        return max(files, key=lambda file: file.stat().st_mtime)
    for file in (sweeps / name / "sweep.json", Path(name) / "sweep.json", Path(name)):
        if file.is_file():
            return file.resolve()
    known = sorted(file.parent.name for file in files)
    there = f"there are: {', '.join(known)}" if known else "there is none"
    raise UserError(f"no sweep {name!r} in {output_dir}; {there}")


def sweep_status(file: Path) -> SweepStatus:
    """How far a sweep is. Raises UserError when its sweep.json cannot be read."""
    sweep = read_json(file)
    entries = sweep.get("runs") if sweep is not None else None
    if sweep is None or not isinstance(entries, list):
        raise UserError(f"{file} cannot be read or is no sweep")
    runs = [read_entry(file.parents[2] / "runs", entry) for entry in entries if has_id(entry)]
    wanted: dict[str | None, list[str]] = {}
    for run in runs:
        if run.job_id and not run.complete and run.executor == "slurm":
            wanted.setdefault(run.slurm_cluster, []).append(run.job_id)
    warning = None
    jobs: dict[tuple[str | None, str], Job] | None = None
    try:
        jobs = {
            (cluster, job_id): job
            for cluster, ids in wanted.items()
            for job_id, job in queue(ids, cluster).items()
        }
    except QueueError as error:
        warning = f"{error}: what SLURM's jobs do is judged by their files alone"
    held = held_inodes()
    alive = {
        run.run_id
        for run in runs
        if not run.complete and any(is_held(path, held) for path in record_files(run.folder))
    }
    points = [point_status(run, jobs, run.run_id in alive, bool(alive)) for run in runs]
    return SweepStatus(str(sweep.get("name") or file.parent.name), file, tuple(points), warning)


def has_id(entry: object) -> bool:
    """Whether an entry of a sweep names a run by what can be a folder's name."""
    name = entry.get("run_id") if isinstance(entry, dict) else None
    return isinstance(name, str) and re.fullmatch(r"\w+", name) is not None


def read_entry(runs: Path, entry: dict[str, Any]) -> RunFiles:
    """The files of one run that a sweep names."""
    overrides = entry.get("overrides")
    words = [str(item) for item in overrides] if isinstance(overrides, list) else []
    samples = count(entry.get("samples"))
    return read_run(runs / entry["run_id"], words, entry.get("added") is True, samples)


def point_status(
    run: RunFiles,
    jobs: Mapping[tuple[str | None, str], Job] | None,
    alive: bool,
    others_alive: bool,
) -> PointStatus:
    """State, rate and reason of one point.

    jobs: what SLURM knows, by cluster and id, None when it could not be asked. alive: a process of
    this machine works on it; others_alive: on any point of the sweep, so that the rest is waiting
    for its turn.
    """
    if run.complete:
        return PointStatus(run, "done", None, None, None)
    job = (jobs or {}).get((run.slurm_cluster, run.job_id or ""))
    if alive:
        state, note = "running", None
    elif job is not None:
        state, note = of_job(run, job)
    elif jobs is None and run.executor == "slurm":
        state, note = unasked(run)
    else:
        state, note = of_files(run, others_alive)
    if run.lives and state != "done":
        numbers = ", ".join(map(str, run.lives))
        note = "; ".join(filter(None, [note, f"samples of its lives so far: {numbers}"]))
    rate = run.tasks / run.seconds_a_sample if run.seconds_a_sample else None
    if state != "running" or rate is None:
        return PointStatus(run, state, note, None, None)
    left = None if run.total is None else max(run.total - run.scored - run.failed, 0) / rate
    return PointStatus(run, state, note or run.error, rate, left)


def of_job(run: RunFiles, job: Job) -> tuple[str, str | None]:
    """State and note of a point whose job SLURM knows."""
    state = _FROM_SLURM.get(job.state, "interrupted")
    if state == "pending" and job.restarts:
        state = "requeued"
    if state in ("running", "pending", "requeued"):
        waits = "" if job.reason in ("None", "") or state == "running" else job.reason
        times = f"requeues: {job.restarts}" if job.restarts else ""
        return state, ", ".join(part for part in (times, waits) if part) or None
    if run.crashed or (state == "interrupted" and run.failed):
        return "failed", run.error
    said = reason(tail(run.log)) if run.log else None
    shown = "" if job.state in ("FAILED", "TIMEOUT", "CANCELLED") else f"{job.state}: "
    return state, f"{shown}{run.error or said or ''}".strip(": ") or None


def unasked(run: RunFiles) -> tuple[str, str | None]:
    """State and note of a SLURM job's point where squeue cannot be asked."""
    state, note = of_files(run, others_alive=False)
    if state == "interrupted" and run.written and time.time() - run.written < RECENT_SECONDS:
        return "running", None
    return ("pending", None) if state == "missing" and run.job_id else (state, note)


def of_files(run: RunFiles, others_alive: bool) -> tuple[str, str | None]:
    """State and note of a point on which nothing works, from its files."""
    if run.crashed:
        return "failed", run.error
    log = tail(run.log) if run.log else None
    ends = list(_ENDED.finditer(log or ""))
    if ends:
        return _ENDED_BY.get(ends[-1][1], "interrupted"), run.error or ends[-1][0]
    if run.failed and run.total is not None and run.scored + run.failed >= run.total:
        return "failed", run.error
    if run.started:
        return "interrupted", run.error or reason(log)
    if others_alive:
        return "pending", None
    return "missing", reason(log)


def overall(points: Sequence[PointStatus]) -> tuple[int, int | None, float | None, float | None]:
    """(samples done, of how many, samples a second, seconds left) over all points.

    Of how many is None unless every point's number is known; the time left is that at the rate of
    now, without points on which something has to be done first.
    """
    done = sum(point.run.scored for point in points)
    totals = [point.run.total for point in points]
    known = [number for number in totals if number is not None]
    rates = [point.rate for point in points if point.rate is not None]
    waiting = [point.run for point in points if point.state in WAITING]
    rest = [None if run.total is None else run.total - run.scored - run.failed for run in waiting]
    left = None
    if rates and None not in rest:
        left = sum(max(number or 0, 0) for number in rest) / sum(rates)
    return done, sum(known) if len(known) == len(totals) else None, sum(rates) or None, left
