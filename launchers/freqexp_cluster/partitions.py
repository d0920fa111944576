"""What the partitions of a cluster can give, compared with what is asked for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from freqexp.config.cluster import ClusterConfig, parse_minutes
from freqexp.errors import ConfigError, fault
from freqexp_cluster import queue

_GPUS = re.compile(r"gpu(?::[^:,()]+)?:(\d+)")


@dataclass(frozen=True)
class Partition:
    """A partition: its time limit in minutes (None: none), and the most GPUs, CPUs and MB of memory
    of one of its nodes (None: unknown).
    """

    name: str
    default: bool
    gpus: int
    minutes: int | None
    cpus: int | None = None
    memory_mb: int | None = None

    def with_nodes_of(self, other: Partition | None) -> Partition:
        """The same with the largest nodes of both."""
        if other is None:
            return self
        return replace(
            self,
            gpus=max(self.gpus, other.gpus),
            cpus=max(self.cpus or 0, other.cpus or 0) or None,
            memory_mb=max(self.memory_mb or 0, other.memory_mb or 0) or None,
        )


def partitions() -> list[Partition]:
    """All partitions. Raises UserError when SLURM does not answer."""
    found: dict[str, Partition] = {}
    for line in queue.ask("sinfo", "-h", "-a", "-o", "%P|%l|%G|%c|%m").splitlines():
        words = [word.strip() for word in line.split("|")]
        if len(words) < 3 or words[0] == "PARTITION":
            continue
        name, limit, resources, cpus, memory = [*words, "", ""][:5]
        here = Partition(
            name.rstrip("*"),
            name.endswith("*"),
            sum(int(count) for count in _GPUS.findall(resources)),
            _limit_minutes(limit),
            _number(cpus),
            _number(memory),
        )
        found[here.name] = here.with_nodes_of(found.get(here.name))
    return list(found.values())


def _number(text: str) -> int | None:
    """As in "64" and "128+" (nodes differ); None for "N/A"."""
    found = re.match(r"\d+", text)
    return int(found[0]) if found else None


def _limit_minutes(text: str) -> int | None:
    """A time limit as sinfo shows it: "infinite", "5:00" (minutes and seconds), "1-00:00:00"."""
    if text.count(":") == 1:
        text = f"0:{text.zfill(5)}"
    return parse_minutes(text)


def check_against(cluster: ClusterConfig, known: list[Partition]) -> None:
    """Raise ConfigError, all faults at once, for what no partition can give."""
    named = {partition.name: partition for partition in known}
    if cluster.partition is not None:
        names = cluster.partition.split(",")
        missing = [name for name in names if name not in named]
        if missing:
            allowed = ", ".join(sorted(named)) or "none, sinfo shows no partition"
            raise ConfigError([fault("cluster.partition", missing[0], allowed)])
        chosen = [named[name] for name in names]
    else:
        chosen = [partition for partition in known if partition.default]
        if not chosen:
            allowed = f"one of {', '.join(sorted(named))}: this cluster has no default partition"
            raise ConfigError([fault("cluster.partition", None, allowed)])
    faults = []
    where = ", ".join(partition.name for partition in chosen)
    gpus = max(partition.gpus for partition in chosen)
    if cluster.gpus > gpus:
        allowed = (
            f"at most {gpus}, the GPUs of a node of partition {where}; take more nodes instead"
        )
        faults.append(fault("cluster.gpus_per_node", cluster.gpus_per_node, allowed))
    for key, asked, most, words in (
        ("cpus_per_gpu", cluster.cpus_per_gpu * cluster.tasks_per_node, _most(chosen, "cpus"), ""),
        ("mem_gb", (cluster.mem_gb or 0) * 1024, _most(chosen, "memory_mb"), " MB"),
    ):
        if most is not None and asked > most:
            value = getattr(cluster, key)
            processes = f" for {cluster.tasks_per_node} processes" if key != "mem_gb" else ""
            allowed = f"at most {most}{words}{processes} on a node of partition {where} in all"
            faults.append(fault(f"cluster.{key}", value, allowed))
    limits = [partition.minutes for partition in chosen]
    longest = max((limit for limit in limits if limit is not None), default=None)
    if None not in limits and longest is not None and cluster.minutes > longest:
        allowed = f"at most {longest} minutes, the limit of partition {where}"
        faults.append(fault("cluster.time", cluster.time, allowed))
    if faults:
        raise ConfigError(faults)


def _most(partitions: Sequence[Partition], name: str) -> int | None:
    """The largest of the partitions; None where one of them does not say."""
    found = [getattr(partition, name) for partition in partitions]
    return None if None in found else max(found)


def require_slurm(cluster: ClusterConfig) -> None:
    """Raise UserError or ConfigError for what SLURM can't do."""
    queue.require_commands()
    check_against(cluster, partitions())
