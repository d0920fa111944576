"""submitit's executors, set up from `cluster`."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freqexp.config import sbatch
from freqexp.config.cluster import ClusterConfig
from freqexp_cluster.queue import NAMES
from freqexp_cluster.snapshot import search_path

if TYPE_CHECKING:
    from submitit import LocalExecutor

MOST_WORKERS = 8
SUBMIT = "-u -m submitit.core._submit"


def parameters(cluster: ClusterConfig, name: str, code: Path) -> dict[str, Any]:
    """What submitit is asked for. A None is left out of the sbatch text."""
    srun = [f"--cpus-per-task={cluster.cpus_per_gpu}"]  # srun does not take it from sbatch
    if cluster.tasks > 1:
        # A process that dies ends the others, so that the point fails at once.
        srun += ["--kill-on-bad-exit=1", "--wait=0"]
    values = {
        "job_name": f"{NAMES}{name}",
        "time": cluster.minutes,
        "nodes": cluster.nodes,
        "ntasks_per_node": cluster.tasks_per_node,
        "gpus_per_node": cluster.gpus_per_node or None,
        "cpus_per_task": cluster.cpus_per_gpu,
        "mem": None if cluster.mem_gb is None else f"{round(cluster.mem_gb * 1024)}M",
        "partition": cluster.partition,
        "account": cluster.account,
        "qos": cluster.qos,
        "constraint": cluster.constraint,
        "exclude": cluster.exclude,
        "signal_delay_s": cluster.signal_delay_s,
        "array_parallelism": cluster.max_parallel or 100_000,
        "setup": [*_setup(cluster), *_exports(cluster, code)],
        "srun_args": srun,
        "stderr_to_stdout": True,
        "additional_parameters": {"requeue": True, **_extra(cluster)},
    }
    # submitit sets a key of its own, which clusters that check such keys would refuse.
    return {name: value for name, value in values.items() if value is not None} | {"wckey": None}


def _extra(cluster: ClusterConfig) -> dict[str, Any]:
    """Further options: by sbatch's names, True for one without a value."""
    given = sbatch.options(cluster.extra)
    return {name: True if value in sbatch.FLAG else value for name, value in given.items()}


def environment(code: Path) -> dict[str, str]:
    """With it a process imports the snapshot, wherever it starts."""
    path = search_path(code)
    if os.environ.get("PYTHONPATH"):
        path = os.pathsep.join([path, os.environ["PYTHONPATH"]])
    # Without it `python -m` looks into the current folder first, which may be the checkout.
    return {"PYTHONPATH": path, "PYTHONSAFEPATH": "1"}


def _setup(cluster: ClusterConfig) -> list[str]:
    """The lines of `cluster.setup`, each of which ends the job when it fails."""
    lines = []
    for line in cluster.setup:
        lines.append(line)
        if not line.rstrip().endswith("\\"):  # else the next one goes on with it
            said = shlex.quote(f"freqexp: cluster.setup: {line} (exit code ")
            lines.append(f'_code=$?; [ $_code = 0 ] || {{ echo {said}"$_code)" >&2; exit 1; }}')
    return lines


def _exports(cluster: ClusterConfig, code: Path) -> list[str]:
    path = shlex.quote(search_path(code))
    return [
        f"export PYTHONPATH={path}${{PYTHONPATH:+:$PYTHONPATH}}",
        "export PYTHONSAFEPATH=1",
        f"export OMP_NUM_THREADS={cluster.threads or cluster.cpus_per_gpu}",
    ]


def sbatch_text(cluster: ClusterConfig, name: str, folder: Path, code: Path, count: int) -> str:
    """The batch file of an array of `count` points, as submitit writes it."""
    # submitit has no public way to see it before submitting.
    from submitit.slurm.slurm import _make_sbatch_string

    array: dict[str, Any] = {"map_count": count} if count > 1 else {}
    return _make_sbatch_string(
        command=f"{shlex.quote(sys.executable)} {SUBMIT} {shlex.quote(str(folder))}",
        folder=folder,
        **parameters(cluster, name, code),
        **array,
    )


def workers_at_once(cluster: ClusterConfig, cores: int) -> int:
    """How many points local processes compute at the same time."""
    if cluster.max_parallel is not None:
        return cluster.max_parallel
    if cluster.shard:
        return 1
    room = cluster.gpus or cores
    return max(1, min(MOST_WORKERS, room // cluster.tasks_per_node))


def local_executor(cluster: ClusterConfig, folder: Path, gpus: Sequence[str]) -> LocalExecutor:
    """Starts one point in processes of this machine that see `gpus`, by CUDA's names of them."""
    from submitit import LocalExecutor
    from submitit.local.local import LocalJob, start_controller

    class Executor(LocalExecutor):
        """submitit's own takes the GPUs for numbers, which are other ones' where a list of this
        process's is set, and none where it names them by text.
        """

        def _submit_command(self, command: str) -> LocalJob[Any]:
            number = cluster.tasks_per_node
            process = start_controller(
                folder=self.folder,
                command=command,
                tasks_per_node=number,
                cuda_devices=",".join(gpus),
                timeout_min=cluster.minutes,
                signal_delay_s=cluster.signal_delay_s,
                stderr_to_stdout=True,
            )
            job: LocalJob[Any] = LocalJob(
                folder=self.folder,
                job_id=str(process.pid),
                process=process,
                tasks=list(range(number)),
            )
            return job

    executor = Executor(folder, max_num_timeout=cluster.max_requeues)
    executor.update_parameters(timeout_min=cluster.minutes, tasks_per_node=cluster.tasks_per_node)
    return executor
