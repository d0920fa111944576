"""Submission to SLURM, and waiting for it."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from freqexp.errors import FAILED, UserError
from freqexp.files import write_json
from freqexp.locks import locked
from freqexp.results.provenance import now
from freqexp_cluster import partitions, queue, surroundings
from freqexp_cluster.freezing import copy_code, freeze, note_submission
from freqexp_cluster.node import PointTask
from freqexp_cluster.outcome import conclude
from freqexp_cluster.said import cancel_lines, counted, report
from freqexp_cluster.sbatch import RefusedError
from freqexp_cluster.todo import Sweep, Todo, noted_clusters, noted_job, sort_out

POLL_SECONDS = 5.0
DEFAULT_MAX_ARRAY = 1001
SUBMITTED = 0
LOCK = ".submitting"
WAITING = "another command is submitting into {}; waiting for it"
NODE_LOCAL = ("/tmp", "/var/tmp", "/dev/shm", "/run")


def run(sweep: Sweep) -> int:
    """Submit what is missing of a sweep; print how to watch. Waits with cluster.wait=true.

    One command at a time submits into an output folder: a second one sees what the first one has
    queued. Gives the exit code: FAILED when SLURM took a part and refused the rest.
    """
    partitions.require_slurm(sweep.cluster)
    with locked(sweep.root / "sweeps" / LOCK, lambda: _say(WAITING.format(sweep.root))):
        active = queue.active_jobs(noted_clusters(sweep))
        todo = sort_out(sweep, active)
        left = Attempt(sweep).check(active)
        jobs, refused = submit(sweep, todo, left) if todo.submit else ([], None)
    print("\n".join(report(sweep, todo, jobs, active)))
    sys.stdout.flush()
    if refused is not None:
        _say(refused)
        return FAILED
    if not sweep.cluster.wait:
        return SUBMITTED
    wait([*jobs, *(job for _, job in todo.queued)])
    return conclude(sweep)


def submit(sweep: Sweep, todo: Todo, attempt: Attempt) -> tuple[list[str], str | None]:
    """Freeze and submit. Gives the keys of the jobs, and what was said of a part that was refused
    after another was taken. Raises UserError when nothing was submitted, or nobody knows.
    """
    from freqexp_cluster.submitter import Submitter

    warning = warn_of_place(sweep.root)
    if warning:
        _say(warning)
    for name, value in surroundings.defaults(sweep.cluster).items():
        _say(f"{name}={value} of the environment counts, as nothing here is set in its place")
    tasks = freeze(sweep, todo.submit)
    executor = Submitter(sweep.cluster, sweep.name, sweep.jobs, copy_code(sweep))
    jobs: list[str] = []
    parts = arrays(tasks, max_array())
    for number, part in enumerate(parts):
        attempt.begin()
        try:
            made: list[Any] = executor.submit_array(part)
        except RefusedError as error:
            attempt.end()
            if not jobs:
                raise UserError(
                    f"sbatch refused the sweep, nothing was submitted: {error}. "
                    "cluster.dry_run=true shows what is sent."
                ) from None
            rest = sum(map(len, parts[number:]))
            return jobs, (
                f"sbatch refused array {number + 1} of {len(parts)}: {error}. {len(jobs)} runs are "
                f"submitted and stay so, {rest} are not; the same command submits these later."
            )
        cluster = None if executor.answer is None else executor.answer.cluster
        for task, job in zip(part, made, strict=True):
            note_submission(sweep, task, job, cluster)
        attempt.end()
        jobs += [queue.job_key(job.job_id, cluster) for job in made]
    return jobs, None


class Attempt:
    """A note that sbatch is being asked, which outlives a command that is killed meanwhile."""

    def __init__(self, sweep: Sweep) -> None:
        self._sweep = sweep
        self._file = sweep.folder / "submitting.json"

    def check(self, active: dict[str, queue.Job]) -> Attempt:
        """Raises UserError when an earlier attempt left a job that no run's notes name."""
        if self._file.exists():
            noted = {noted_job(self._sweep.run_folder(point)) for point in self._sweep.runs}
            name = f"{queue.NAMES}{self._sweep.name}"
            found = set(queue.of_folder(active, self._sweep.jobs, name)) - noted
            if found:
                raise UserError(
                    f"an earlier submission of this sweep ended before its jobs were noted, and "
                    f"{counted(found)} of it is queued. Nothing was submitted; first "
                    f"{'; '.join(cancel_lines(found))}"
                )
        return self

    def begin(self) -> None:
        """Sbatch is about to be asked."""
        write_json(self._file, {"at": now()})

    def end(self) -> None:
        """What became of it is noted."""
        self._file.unlink(missing_ok=True)


def _say(text: str) -> None:
    print(f"freqexp: {text}", file=sys.stderr, flush=True)


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


def wait(jobs: Sequence[str]) -> None:
    """Return when none of the jobs is queued or running, with a line for every change."""
    clusters = {cluster for _, _, cluster in (job.partition("@") for job in jobs) if cluster}
    shown = None
    while jobs:
        active = queue.active_jobs(clusters)
        states = [active[job].state if job in active else "ended" for job in jobs]
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
