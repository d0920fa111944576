"""Several points at once in processes of this machine."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from freqexp_cluster import gpus
from freqexp_cluster.executors import environment, local_executor, workers_at_once
from freqexp_cluster.freezing import copy_code, freeze, note_submission
from freqexp_cluster.node import PointTask
from freqexp_cluster.outcome import conclude
from freqexp_cluster.todo import Sweep, sort_out

POLL_SECONDS = 0.1


@dataclass(frozen=True)
class _Running:
    task: PointTask
    job: Any
    slot: int


def run(sweep: Sweep) -> int:
    """Compute what is missing of a sweep and print the table. Ctrl-C ends the workers, too.

    Raises ConfigError when more GPUs are asked for than this process may use.
    """
    found = gpus.of_workers(sweep.cluster)
    todo = sort_out(sweep, ())
    if todo.submit:
        tasks = freeze(sweep, todo.submit)
        with _variables(sweep):
            _run_all(sweep, tasks, found)
    return conclude(sweep)


def _variables(sweep: Sweep) -> Any:
    from submitit.core.utils import environment_variables

    cores = len(os.sched_getaffinity(0))
    processes = workers_at_once(sweep.cluster, cores) * sweep.cluster.tasks
    threads = sweep.cluster.threads or max(1, cores // processes)
    return environment_variables(OMP_NUM_THREADS=threads, **environment(copy_code(sweep)))


def _run_all(sweep: Sweep, tasks: Sequence[PointTask], found: Sequence[str]) -> None:
    slots = list(range(workers_at_once(sweep.cluster, len(os.sched_getaffinity(0)))))
    waiting, running = list(tasks), list[_Running]()
    try:
        while waiting or running:
            while waiting and slots:
                running.append(_start(sweep, waiting.pop(0), slots.pop(0), found))
            time.sleep(POLL_SECONDS)
            for ended in [one for one in running if one.job.done()]:
                running.remove(ended)
                slots.append(ended.slot)
                left = len(waiting) + len(running)
                print(f"{len(tasks) - left}/{len(tasks)} points ended", file=sys.stderr, flush=True)
    finally:
        for one in running:
            with suppress(ProcessLookupError):
                one.job.cancel()


def _start(sweep: Sweep, task: PointTask, slot: int, found: Sequence[str]) -> _Running:
    executor = local_executor(sweep.cluster, sweep.jobs, gpus.of_slot(sweep.cluster, found, slot))
    job = executor.submit(task)
    note_submission(sweep, task, job)
    return _Running(task, job, slot)
