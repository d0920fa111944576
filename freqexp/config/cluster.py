"""Schema of the group `cluster`: where and how runs are computed."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum

from freqexp.errors import fault
from freqexp.schemas import ranges
from freqexp.schemas.section import Section

TIME = re.compile(r"(?:(?P<d>\d+)-)?(?P<h>\d{1,3}):(?P<m>[0-5]\d):(?P<s>[0-5]\d)")
TIME_FORMS = "minutes (90), HH:MM:SS (04:00:00) or D-HH:MM:SS (1-12:00:00), at least one minute"
NAME = re.compile(r"[^\s'\"]+")
OWN_FLAGS = frozenset(
    {
        "account",
        "array",
        "constraint",
        "cpus-per-task",
        "error",
        "exclude",
        "gpus-per-node",
        "job-name",
        "mem",
        "nodes",
        "ntasks-per-node",
        "open-mode",
        "output",
        "partition",
        "qos",
        "requeue",
        "signal",
        "time",
    }
)
"""Options of sbatch that are set from other keys or by the launcher."""


class Executor(Enum):
    """What computes the runs."""

    local = "local"
    workers = "workers"
    slurm = "slurm"


class Retry(Enum):
    """Which incomplete points a repeated submission takes."""

    missing = "missing"
    failed = "failed"


@dataclass
class ClusterConfig(Section):
    """Where runs are computed.

    executor: local (this process), workers (processes of this machine) or slurm (one job array).
    threads: CPU threads of the model in each process; None: torch's own choice, with workers an
        equal share of the cores.
    max_parallel: points that are computed at the same time; None: all (workers: as many as cores
        or GPUs allow).
    processes: processes that share the samples of one point, on each node; None: one a GPU, or one.
    shard: one process a point, with one copy of the model spread over all of the node's GPUs.
    nodes, gpus_per_node, cpus_per_gpu, mem_gb, time, partition, account, qos, constraint, exclude:
        what each point asks SLURM for. cpus_per_gpu counts for each process; mem_gb is for each
        node, None: the cluster's default. For workers gpus_per_node is what all points share.
    signal_delay_s: seconds before the time limit at which a job is told to leave and is requeued.
    max_requeues: how often a point that ran into its time limit is requeued.
    setup: shell lines before the start (module load, source venv/bin/activate).
    extra: further options of sbatch, without the dashes.
    wait: stay until all points have ended, then print the table. dry_run: print what would be
        submitted and what it may cost, and stop. retry: missing takes every incomplete point that
        is not queued, failed only those that were started before.
    """

    name: str = "local"
    executor: Executor = Executor.local
    threads: int | None = None
    max_parallel: int | None = None
    processes: int | None = None
    shard: bool = False
    nodes: int = 1
    gpus_per_node: int = 0
    cpus_per_gpu: int = 4
    mem_gb: float | None = None
    time: str = "24:00:00"
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    exclude: str | None = None
    signal_delay_s: int = 120
    max_requeues: int = 20
    setup: list[str] = field(default_factory=list)
    extra: dict[str, str] = field(default_factory=dict)
    wait: bool = False
    dry_run: bool = False
    retry: Retry = Retry.missing

    @property
    def minutes(self) -> int:
        """The time limit, rounded up. Only for a `time` without fault."""
        minutes = parse_minutes(self.time)
        assert minutes is not None
        return minutes

    @property
    def tasks_per_node(self) -> int:
        """Processes of one point on each of its nodes."""
        if self.shard:
            return 1
        default = self.gpus_per_node if self.executor is Executor.slurm else 1
        return self.processes or max(1, default)

    @property
    def tasks(self) -> int:
        """Processes of one point."""
        return self.nodes * self.tasks_per_node

    def check(self, prefix: str) -> list[str]:
        faults = ranges.integers(self, prefix, ("threads", "max_parallel"), 1, 1024)
        faults += ranges.integers(self, prefix, ("processes", "cpus_per_gpu"), 1, 256)
        faults += ranges.integers(self, prefix, ("nodes",), 1, 256)
        faults += ranges.integers(self, prefix, ("gpus_per_node",), 0, 64)
        faults += ranges.integers(self, prefix, ("max_requeues",), 0, 1000)
        if self.mem_gb is not None:
            faults += ranges.positive(self, prefix, ("mem_gb",))
        return faults + self._time_faults(prefix) + self._text_faults(prefix) + self._shape(prefix)

    def _time_faults(self, prefix: str) -> list[str]:
        minutes = parse_minutes(self.time)
        if minutes is None:
            return [fault(f"{prefix}.time", self.time, TIME_FORMS)]
        if not 1 <= self.signal_delay_s < 60 * minutes:
            allowed = f"seconds from 1 to less than {prefix}.time ({60 * minutes})"
            return [fault(f"{prefix}.signal_delay_s", self.signal_delay_s, allowed)]
        return []

    def _text_faults(self, prefix: str) -> list[str]:
        names = ("partition", "account", "qos", "constraint", "exclude")
        values = {f"{prefix}.{name}": getattr(self, name) for name in names}
        faults = [
            fault(key, value, "text without spaces and quotes, or null")
            for key, value in values.items()
            if value is not None and not NAME.fullmatch(value)
        ]
        for key in self.extra:
            if key.replace("_", "-") in OWN_FLAGS:
                allowed = "options of sbatch that nothing else sets; use the key of that name"
                faults.append(fault(f"{prefix}.extra", key, allowed))
        return faults

    def _shape(self, prefix: str) -> list[str]:
        """Faults of what does not go together."""
        faults = []
        if self.executor is not Executor.slurm and self.nodes != 1:
            faults.append(fault(f"{prefix}.nodes", self.nodes, "1 without SLURM"))
        if self.shard and (self.nodes != 1 or self.processes not in (None, 1)):
            asked = f"{self.nodes} nodes, {self.processes} processes"
            faults.append(fault(f"{prefix}.shard", asked, "one process on one node"))
        if self.executor is Executor.workers and self.gpus_per_node:
            needed = (self.max_parallel or 1) * self.tasks_per_node
            if not self.shard and needed > self.gpus_per_node:
                allowed = f"at least one a process ({needed}), or 0 for none"
                faults.append(fault(f"{prefix}.gpus_per_node", self.gpus_per_node, allowed))
        return faults


def parse_minutes(text: str) -> int | None:
    """A time limit in minutes, rounded up; None when it is in none of `TIME_FORMS`."""
    if re.fullmatch(r"\d{1,6}", text):
        return int(text) or None
    found = TIME.fullmatch(text)
    if found is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return -(-(((days * 24 + hours) * 60 + minutes) * 60 + seconds) // 60) or None
