"""What SLURM says of its partitions and of the user's jobs."""

from __future__ import annotations

import getpass
import re
import shutil
import subprocess
from dataclasses import dataclass

from freqexp.config.cluster import ClusterConfig, parse_minutes
from freqexp.errors import ConfigError, UserError, fault

SECONDS = 60
_GPUS = re.compile(r"gpu(?::[^:,()]+)?:(\d+)")


@dataclass(frozen=True)
class Partition:
    """A partition: most GPUs of one of its nodes, its time limit in minutes (None: none)."""

    name: str
    default: bool
    gpus: int
    minutes: int | None


def ask(*command: str) -> str:
    """What a SLURM command prints. Raises UserError with what it complains about."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    except FileNotFoundError:
        raise UserError(no_slurm(command[0])) from None
    except subprocess.TimeoutExpired:
        raise UserError(f"{command[0]}: no answer for {SECONDS} s; is slurmctld up?") from None
    if done.returncode:
        raise UserError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def no_slurm(command: str) -> str:
    """What to do where SLURM's commands are missing."""
    return (
        f"cluster: {command} is not on PATH, so there is no SLURM here. Log in to a node of the "
        "cluster that submits jobs (or `module load slurm`), or take cluster=workers or "
        "cluster=local."
    )


def require_commands() -> None:
    """Raise UserError when a command of SLURM that is needed is missing."""
    for command in ("sbatch", "srun", "squeue", "sinfo"):
        if shutil.which(command) is None:
            raise UserError(no_slurm(command))


def active_jobs() -> dict[str, str]:
    """States of the user's jobs that have not ended, by id, each task of an array ("7_3")."""
    lines = ask("squeue", "-h", "-r", "-o", "%i|%T", "-u", getpass.getuser()).splitlines()
    return dict(line.split("|", 1) for line in lines)


def partitions() -> list[Partition]:
    """All partitions. Raises UserError when SLURM does not answer."""
    found: dict[str, Partition] = {}
    for line in ask("sinfo", "-h", "-a", "-o", "%P|%l|%G").splitlines():
        name, limit, resources = line.split("|", 2)
        gpus = sum(int(count) for count in _GPUS.findall(resources))
        earlier = found.get(name.rstrip("*"))
        found[name.rstrip("*")] = Partition(
            name.rstrip("*"),
            name.endswith("*"),
            max(gpus, earlier.gpus if earlier else 0),
            _limit_minutes(limit),
        )
    return list(found.values())


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
    limits = [partition.minutes for partition in chosen]
    longest = max((limit for limit in limits if limit is not None), default=None)
    if None not in limits and longest is not None and cluster.minutes > longest:
        allowed = f"at most {longest} minutes, the limit of partition {where}"
        faults.append(fault("cluster.time", cluster.time, allowed))
    if faults:
        raise ConfigError(faults)


def require_slurm(cluster: ClusterConfig) -> None:
    """Raise UserError or ConfigError for what SLURM can't do."""
    require_commands()
    check_against(cluster, partitions())
