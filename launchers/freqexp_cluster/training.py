"""Adapting a reader as a SLURM job, or in processes of this machine.

A job runs the command that a person would, with `cluster=local`: it goes on from its checkpoint by
itself, and is told to leave by a signal.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freqexp.config.cluster import Executor
from freqexp.errors import FAILED, INTERRUPTED, UserError
from freqexp.files import write_json
from freqexp.locks import locked
from freqexp_cluster import partitions, queue
from freqexp_cluster.executors import sbatch_text
from freqexp_cluster.gpus import choose_gpu
from freqexp_cluster.leaving import KILLED_WITHIN_S, SECOND_SIGNAL_S, TERMINATED
from freqexp_cluster.node import SUBMISSION
from freqexp_cluster.said import cancel_lines
from freqexp_cluster.sbatch import RefusedError
from freqexp_cluster.slurm import LOCK, SUBMITTED, wait, warn_of_place
from freqexp_cluster.snapshot import snapshot
from freqexp_cluster.todo import noted_job

if TYPE_CHECKING:
    from freqexp.config.cluster import ClusterConfig
    from freqexp.outside.source import Source

RESULT = "adapt.json"


@dataclass(frozen=True)
class TrainingTask:
    """A command in each process of a job; what submitit pickles, so plain data alone.

    arguments: behind `python -m`. life: grows with every requeue by this program.
    """

    arguments: tuple[str, ...]
    life: int = 0

    def checkpoint(self) -> Any:
        """What the next life runs: the same, as the checkpoint says how far it is."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(replace(self, life=self.life + 1))

    def __call__(self) -> None:
        """Run the command to its end, or until a signal asks to leave; then requeue, if the signal
        was the time limit's. Raises UserError when it failed.
        """
        from submitit import JobEnvironment
        from submitit.helpers import TorchDistributedEnvironment

        environment = JobEnvironment()
        if environment.num_tasks > 1:
            # The job's own list of GPUs may begin elsewhere than at 0.
            TorchDistributedEnvironment().export(set_cuda_visible_devices=False, overwrite=True)
        choose_gpu(environment.local_rank, shard=False)
        requeue: Any = signal.getsignal(signal.SIGUSR2)
        came: list[int] = []
        command = [sys.executable, "-m", *self.arguments]
        child = subprocess.Popen(command, start_new_session=True)

        def ask(number: int, frame: Any) -> None:
            came.append(number)
            child.send_signal(signal.SIGTERM)

        for number in (signal.SIGUSR2, signal.SIGTERM):
            signal.signal(number, ask)
        code = child.wait()
        if code == INTERRUPTED and not came:
            time.sleep(SECOND_SIGNAL_S)  # another process of the job was told first
        # Before the training listens a signal just ends it.
        if came and code in (INTERRUPTED, -signal.SIGTERM, -signal.SIGUSR2):
            _leave(environment, came, requeue)
        if code:
            raise UserError(f"`{' '.join(self.arguments)}` ended with exit code {code}")


def _leave(environment: Any, came: Sequence[int], requeue: Any) -> None:
    """End this process; the first of the job requeues it before, after a time limit's signal."""
    told = signal.SIGUSR2 in came
    if told and environment.global_rank == 0:
        requeue(signal.SIGUSR2, None)
    elif told and environment.cluster == "slurm":
        # Ending now could end the first process before it has requeued the job.
        time.sleep(KILLED_WITHIN_S)
    sys.exit(0 if told and environment.cluster == "local" else TERMINATED)


def launch(
    arguments: Sequence[str],
    cluster: ClusterConfig,
    folder: Path,
    plan: str,
    outside: Sequence[Source] = (),
) -> int:
    """Submit `python -m ARGUMENTS` as one job whose files are in `folder`. Gives the exit code.

    plan: what it will take, for `cluster.dry_run`. outside: packages that its copy takes along.
    Raises UserError when nothing was submitted, and when it is queued or running already.
    """
    name = f"adapt-{folder.name}"
    jobs = folder / "jobs"
    if cluster.executor is not Executor.slurm:
        raise UserError("cluster: got workers, allowed: local, slurm (adapting is one job)")
    if cluster.dry_run:
        print(f"{plan}\n\nsbatch text")
        print(sbatch_text(cluster, name, jobs, folder / "code-<hash>", 1).rstrip())
        return SUBMITTED
    partitions.require_slurm(cluster)
    words = f"freqexp: another command is submitting {folder}; waiting for it"
    with locked(folder / LOCK, lambda: print(words, file=sys.stderr)):
        before = _written(folder)
        key = _submit(arguments, cluster, folder, name, outside)
    if not cluster.wait:
        return SUBMITTED
    wait([key])
    return FAILED if _written(folder) == before else SUBMITTED


def _submit(
    arguments: Sequence[str],
    cluster: ClusterConfig,
    folder: Path,
    name: str,
    outside: Sequence[Source],
) -> str:
    """Submit the job, and say so. Gives its key."""
    from freqexp_cluster.submitter import Submitter

    noted = noted_job(folder)
    _, _, there = noted.partition("@")
    if noted in queue.active_jobs([there] if there else []):
        raise UserError(f"adapt.out: {folder} is adapted by job {noted} already")
    warning = warn_of_place(folder)
    if warning:
        print(f"freqexp: {warning}", file=sys.stderr)
    executor = Submitter(cluster, name, folder / "jobs", snapshot(folder, outside))
    try:
        job: Any = executor.submit(TrainingTask(tuple(arguments)))
    except RefusedError as error:
        raise UserError(f"sbatch refused the job, nothing was submitted: {error}") from None
    where = None if executor.answer is None else executor.answer.cluster
    log = str(job.paths.stdout).replace("%t", "0")
    note = {"job_id": job.job_id, "log": log, **({"slurm_cluster": where} if where else {})}
    write_json(folder / SUBMISSION, note)
    key = queue.job_key(job.job_id, where)
    print(f"submitted as job {job.job_id}\nlog:     {log}\ncancel:  {cancel_lines([key])[0]}")
    print("again:   the same command goes on from the last checkpoint")
    return key


def _written(folder: Path) -> int | None:
    """When a training to its end last wrote what came out, in ns; None: never."""
    try:
        return (folder / RESULT).stat().st_mtime_ns
    except OSError:
        return None
