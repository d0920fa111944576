"""Options of sbatch that are given beside the keys of `cluster`, and what they contradict."""

from __future__ import annotations

import re
from collections.abc import Mapping

from freqexp.errors import fault

OWN_FLAGS = {
    "account": "account",
    "array": "max_parallel",
    "constraint": "constraint",
    "cpus-per-gpu": "cpus_per_gpu",
    "cpus-per-task": "cpus_per_gpu",
    "error": None,
    "exclude": "exclude",
    "gpus-per-node": "gpus_per_node",
    "job-name": None,
    "mem": "mem_gb",
    "no-requeue": "max_requeues",
    "nodes": "nodes",
    "ntasks": "processes",
    "ntasks-per-gpu": "processes",
    "ntasks-per-node": "processes",
    "open-mode": None,
    "output": None,
    "partition": "partition",
    "qos": "qos",
    "requeue": "max_requeues",
    "signal": "signal_delay_s",
    "test-only": "dry_run",
    "time": "time",
    "wait": "wait",
    "wrap": None,
}
"""Options that are set from another key of `cluster`, or (None) by the launcher alone."""

SHORT = {
    "A": "account",
    "C": "constraint",
    "G": "gpus",
    "J": "job_name",
    "L": "licenses",
    "M": "clusters",
    "N": "nodes",
    "c": "cpus_per_task",
    "d": "dependency",
    "n": "ntasks",
    "p": "partition",
    "q": "qos",
    "t": "time",
    "w": "nodelist",
    "x": "exclude",
}
NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*([-_][A-Za-z0-9]+)*")
GPUS = ("gres", "gpus", "gpus-per-task", "gpus-per-socket")
MEMORY = ("mem-per-cpu", "mem-per-gpu")
FLAG = ("True", "true", "")
NO_FLAG = ("False", "false", "None", "null")

_GRES_GPU = re.compile(r"gpu(?::(?P<type>[^:,\d][^:,]*))?(?::(?P<number>\d+))?")
_COUNT = re.compile(r"(?:(?P<type>[A-Za-z][\w.-]*):)?(?P<number>\d{1,2})")


def gpus_of(text: int | str) -> tuple[str | None, int] | None:
    """(type, number) of a number of GPUs as 4 or "a100:4"; None for anything else."""
    found = _COUNT.fullmatch(str(text))
    return None if found is None else (found["type"], int(found["number"]))


def gpus_of_gres(extra: Mapping[str, str]) -> int:
    """How many GPUs of a node `gres` asks for, as "gpu:a100:4" or "gpu:2,nvme:1"."""
    parts = (_GRES_GPU.fullmatch(part) for part in options(extra).get("gres", "").split(","))
    return sum(int(part["number"] or 1) for part in parts if part is not None)


def options(extra: Mapping[str, str]) -> dict[str, str]:
    """By the names that sbatch has, without those that are switched off."""
    return {
        key.replace("_", "-"): value for key, value in extra.items() if str(value) not in NO_FLAG
    }


def faults(
    prefix: str,
    extra: Mapping[str, str],
    *,
    gpus_per_node: int | str,
    processes: int | None,
    mem_gb: float | None,
) -> list[str]:
    """What of `extra` is no option, is set by another key, or contradicts one."""
    found = []
    for key, value in extra.items():
        name = f"{prefix}.extra.{key}"
        option = key.replace("_", "-")
        if key in SHORT:
            found.append(fault(f"{prefix}.extra", key, f"the long name, {SHORT[key]}"))
        elif not NAME.fullmatch(key) or len(key) == 1:
            found.append(fault(f"{prefix}.extra", key, "long names of options of sbatch"))
        elif option in OWN_FLAGS:
            owner = OWN_FLAGS[option]
            allowed = "options of sbatch that nothing else sets; "
            allowed += f"use {prefix}.{owner}" if owner else "the launcher sets this one"
            found.append(fault(f"{prefix}.extra", key, allowed))
        elif not str(value).isprintable():
            found.append(fault(name, value, "text of one line"))
    given = options(extra)
    of_gpus = [key for key in GPUS if key in given and (key != "gres" or gpus_of_gres(extra))]
    of_memory = [key for key in MEMORY if key in given]
    rivals: tuple[tuple[list[str], str, bool, object], ...] = (
        (of_gpus, "gpus_per_node", gpus_per_node != 0, gpus_per_node),
        (of_memory, "mem_gb", mem_gb is not None, mem_gb),
    )
    for keys, other, is_set, asked in rivals:
        for key in keys:
            name = f"{prefix}.extra.{key.replace('-', '_')}"
            if is_set:
                none = "0" if other == "gpus_per_node" else "null"
                allowed = f"nothing beside {prefix}.{other}={asked}, which asks for the same; "
                found.append(fault(name, given[key], f"{allowed}or {prefix}.{other}={none}"))
            elif key != keys[0]:
                allowed = f"nothing beside {prefix}.extra.{keys[0].replace('-', '_')}"
                found.append(fault(name, given[key], allowed))
            elif key in GPUS[1:] and processes is None:
                allowed = f"only with {prefix}.processes, which says how many share a point; "
                found.append(fault(name, given[key], f"{allowed}or {prefix}.gpus_per_node instead"))
    return found
