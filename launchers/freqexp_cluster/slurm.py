"""Submission to SLURM, and waiting for it."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from freqexp.errors import UserError
from freqexp_cluster import queue
from freqexp_cluster.executors import slurm_executor
from freqexp_cluster.freezing import copy_code, freeze, note_submission
from freqexp_cluster.node import PointTask
from freqexp_cluster.outcome import conclude
from freqexp_cluster.todo import Sweep, Todo, sort_out

POLL_SECONDS = 5.0
DEFAULT_MAX_ARRAY = 1001
SUBMITTED = 0
NODE_LOCAL = ("/tmp", "/var/tmp", "/dev/shm", "/run")


def run(sweep: Sweep) -> int:
    """Submit what is missing of a sweep; print how to watch. Waits with cluster.wait=true."""
    queue.require_slurm(sweep.cluster)
    todo = sort_out(sweep, queue.active_jobs())
    jobs = submit(sweep, todo) if todo.submit else []
    print("\n".join(report(sweep, todo, jobs)))
    sys.stdout.flush()
    if not sweep.cluster.wait:
        return SUBMITTED
    wait([*jobs, *(job for _, job in todo.queued)])
    return conclude(sweep)


def submit(sweep: Sweep, todo: Todo) -> list[str]:
    """Freeze and submit. Gives the ids of the jobs. Raises UserError when nothing was submitted."""
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    warning = warn_of_place(sweep.root)
    if warning:
        print(f"freqexp: {warning}", file=sys.stderr)
    tasks = freeze(sweep, todo.submit)
    executor = slurm_executor(sweep.cluster, sweep.name, sweep.jobs, copy_code(sweep))
    jobs: list[Any] = []
    for part in arrays(tasks, max_array()):
        try:
            made = executor.submit_array(part)
        except (FailedJobError, FailedSubmissionError, subprocess.SubprocessError) as error:
            raise refusal(error) from None
        for task, job in zip(part, made, strict=True):
            note_submission(sweep, task, job)
        jobs += made
    return [job.job_id for job in jobs]


def max_array() -> int:
    """The most tasks an array of this cluster may have."""
    try:
        found = re.search(r"MaxArraySize\s*=\s*(\d+)", queue.ask("scontrol", "show", "config"))
    except UserError:
        found = None
    return int(found[1]) if found else DEFAULT_MAX_ARRAY


def arrays(tasks: Sequence[PointTask], most: int) -> list[Sequence[PointTask]]:
    """One array where the cluster allows it."""
    return [tasks[start : start + most] for start in range(0, len(tasks), most)]


def report(sweep: Sweep, todo: Todo, jobs: Sequence[str]) -> list[str]:
    """What was submitted, what was not and why, and how to watch."""
    lines = [f"sweep {sweep.name}: {len(sweep.runs)} runs"]
    if jobs:
        arrays_of = list(dict.fromkeys(job.split("_")[0] for job in jobs))
        lines.append(f"  submitted {len(jobs)} as job {', '.join(arrays_of)}")
    for count, what in (
        (len(todo.done), "are done"),
        (len(todo.queued), "are queued or running already"),
        (len(todo.parts), "are the first samples of another one, and done with it"),
        (len(todo.left), "were never started (cluster.retry=failed leaves them)"),
    ):
        if count:
            lines.append(f"  {count} {what}")
    lines += [
        f"watch:   python -m freqexp.status {sweep.folder} --watch",
        f"logs:    {sweep.jobs}",
    ]
    if jobs:
        lines.append(f"cancel:  scancel {' '.join(arrays_of)}")
    lines.append("again:   the same command submits what is missing")
    return lines


def wait(jobs: Sequence[str]) -> None:
    """Return when none of the jobs is queued or running, with a line for every change."""
    shown = None
    while jobs:
        active = queue.active_jobs()
        states = [active.get(job, "ended") for job in jobs]
        counts = {state: states.count(state) for state in sorted(set(states))}
        line = ", ".join(f"{count} {state.lower()}" for state, count in counts.items())
        if line != shown:
            print(f"{time.strftime('%H:%M:%S')}  {line}", file=sys.stderr, flush=True)
            shown = line
        if set(counts) == {"ended"}:
            return
        time.sleep(POLL_SECONDS)


def warn_of_place(root: Path) -> str | None:
    """A warning about an output folder that only this machine can see."""
    if any(root.is_relative_to(place) for place in NODE_LOCAL):
        return (
            f"output_dir {root} is usually on this machine alone; if the nodes do not see it, the "
            "jobs end without even a log. Take a folder on the shared file system."
        )
    return None


def refusal(error: Exception) -> UserError:
    """What sbatch said when it refused a job."""
    lines = [line for line in str(error).splitlines() if "error:" in line] or [str(error)]
    said = " ".join(line.split("error:")[-1].strip() for line in lines)
    return UserError(
        f"sbatch refused the sweep, nothing was submitted: {said}. "
        "cluster.dry_run=true shows what is sent."
    )
