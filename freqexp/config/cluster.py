"""Schema of the group `cluster`: where and how runs are computed."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import MISSING, dataclass, field, fields
from enum import Enum
from typing import Any

from freqexp.config import sbatch
from freqexp.errors import fault
from freqexp.schemas import ranges
from freqexp.schemas.section import Section

TIME = re.compile(r"(?:(?P<d>\d+)-)?(?P<h>\d{1,3}):(?P<m>[0-5]\d):(?P<s>[0-5]\d)")
TIME_FORMS = "minutes (90), HH:MM:SS (04:00:00) or D-HH:MM:SS (1-12:00:00), at least one minute"
NAME = re.compile(r"[^\s'\"]+")
SUBMITS = (
    "cpus_per_gpu",
    "mem_gb",
    "partition",
    "account",
    "qos",
    "constraint",
    "exclude",
    "setup",
    "extra",
)
"""Keys that only SLURM is asked for."""
SEVERAL = ("max_parallel", "processes", "time", "signal_delay_s", "max_requeues", "retry")
"""Keys of a sweep that more than this process computes."""
FORMS_OF_GPUS = "a number from 0 to 64, or with a type, as a100:4"


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
        node, None: the cluster's default. For workers gpus_per_node is what all points share; for
        SLURM it may name a type, as a100:4.
    gpu_memory_gb: of one GPU, for the memory plan of a dry run; None: by the GPU's name.
    signal_delay_s: seconds before the time limit at which a job is told to leave and is requeued.
    max_requeues: how often a point that ran into its time limit is requeued.
    setup: shell lines before the start (module load, source venv/bin/activate).
    extra: further options of sbatch, without the dashes; one without a value is "true". `gres` may
        ask for the GPUs instead of gpus_per_node.
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
    gpus_per_node: Any = 0
    gpu_memory_gb: float | None = None
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
    def gpus(self) -> int:
        """GPUs of each node; of those that the points share, for workers."""
        found = sbatch.gpus_of(self.gpus_per_node)
        return found[1] if found and found[1] else sbatch.gpus_of_gres(self.extra)

    @property
    def tasks_per_node(self) -> int:
        """Processes of one point on each of its nodes."""
        if self.shard:
            return 1
        default = self.gpus if self.executor is Executor.slurm else 1
        return self.processes or max(1, default)

    @property
    def tasks(self) -> int:
        """Processes of one point."""
        return self.nodes * self.tasks_per_node

    def check(self, prefix: str) -> list[str]:
        faults = ranges.integers(self, prefix, ("threads", "max_parallel"), 1, 1024)
        faults += ranges.integers(self, prefix, ("processes", "cpus_per_gpu"), 1, 256)
        faults += ranges.integers(self, prefix, ("nodes",), 1, 256)
        faults += ranges.integers(self, prefix, ("max_requeues",), 0, 1000)
        for name in ("mem_gb", "gpu_memory_gb"):
            if getattr(self, name) is not None:
                faults += ranges.positive(self, prefix, (name,))
        faults += self._time_faults(prefix) + self._text_faults(prefix)
        return faults + self._shape(prefix)

    def unused(self, prefix: str, typed: Collection[str]) -> list[str]:
        """Faults of keys that were typed and that the chosen executor has no use for. What a file
        says for every run, such as the partition of this machine, waits for its executor.
        """
        if self.executor is Executor.slurm:
            return []
        here = self.executor is Executor.local
        where = "this process" if here else "processes of this machine"
        names = [*SUBMITS, *SEVERAL] if here else [*SUBMITS]
        if here and not self.shard:
            names.append("gpus_per_node")
        allowed = f"nothing, as {prefix}={self.executor.value} computes in {where} and has no use "
        allowed += f"for it; {prefix}=slurm submits" + (
            f", {prefix}=workers shares" if here else ""
        )
        defaults = {item.name: item for item in fields(self)}
        found = []
        for name in names:
            item, value = defaults[name], getattr(self, name)
            default = item.default if item.default_factory is MISSING else item.default_factory()
            key = f"{prefix}.{name}"
            if value != default and any(f"{text}.".startswith(f"{key}.") for text in typed):
                shown = value.value if isinstance(value, Enum) else value
                found.append(fault(f"{prefix}.{name}", shown, allowed))
        return found

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
        count = sbatch.gpus_of(self.gpus_per_node)
        if count is None or count[1] > 64:
            faults.append(fault(f"{prefix}.gpus_per_node", self.gpus_per_node, FORMS_OF_GPUS))
        elif count[0] is not None and self.executor is not Executor.slurm:
            allowed = "a number without SLURM, which alone knows types"
            faults.append(fault(f"{prefix}.gpus_per_node", self.gpus_per_node, allowed))
        for line in self.setup:
            if "\n" in line:
                faults.append(fault(f"{prefix}.setup", line, "one line of shell an entry"))
        asked = {"gpus_per_node": self.gpus_per_node, "processes": self.processes}
        return faults + sbatch.faults(prefix, self.extra, mem_gb=self.mem_gb, **asked)

    def _shape(self, prefix: str) -> list[str]:
        """Faults of what does not go together."""
        faults = []
        if self.executor is not Executor.slurm and self.nodes != 1:
            faults.append(fault(f"{prefix}.nodes", self.nodes, "1 without SLURM"))
        if self.shard and (self.nodes != 1 or self.processes not in (None, 1)):
            asked = f"{self.nodes} nodes, {self.processes} processes"
            faults.append(fault(f"{prefix}.shard", asked, "one process on one node"))
        if self.executor is Executor.workers and self.gpus:
            needed = (self.max_parallel or 1) * self.tasks_per_node
            if not self.shard and needed > self.gpus:
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
