"""Which GPUs this process may use, and how they are divided.

CUDA names them by text: "2", "GPU-<uuid>", "MIG-<uuid>".
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from freqexp.errors import ConfigError, fault

if TYPE_CHECKING:
    from freqexp.config.cluster import ClusterConfig

VARIABLE = "CUDA_VISIBLE_DEVICES"
SECONDS = 20
_DEVICE = re.compile(r"\d+|(?:GPU|MIG)-\S+")


def listed(devices: str) -> list[str]:
    """The devices that a value of CUDA_VISIBLE_DEVICES names. As for CUDA, whatever names none
    ("-1", "NoDevFiles", nothing) ends the list.
    """
    found = []
    for word in devices.split(","):
        if not _DEVICE.fullmatch(word.strip()):
            break
        found.append(word.strip())
    return found


def visible() -> list[str] | None:
    """What this process may use, by the names CUDA has for it; None where that can't be known."""
    devices = os.environ.get(VARIABLE)
    if devices is not None:
        return listed(devices)
    number = _installed()
    return None if number is None else [str(index) for index in range(number)]


def _installed() -> int | None:
    """How many GPUs this machine has; None where nothing here can tell."""
    try:
        command = ["nvidia-smi", "-L"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    except (OSError, subprocess.SubprocessError):
        done = None
    if done is not None and done.returncode == 0:
        return sum(line.startswith("GPU ") for line in done.stdout.splitlines())
    files = [path for path in Path("/dev").glob("nvidia*") if path.name[6:].isdecimal()]
    other_makes = Path("/dev/kfd").exists()
    return None if files or other_makes else 0


def of_workers(cluster: ClusterConfig) -> list[str]:
    """The GPUs that the points of `cluster=workers` share: the first of the visible ones.

    Raises ConfigError when more are asked for than this process may use, or one is listed twice.
    """
    asked = cluster.gpus
    if not asked:
        return []
    found = visible()
    if found is None:
        return [str(index) for index in range(asked)]
    if len(set(found)) < len(found):
        said = os.environ.get(VARIABLE)
        raise ConfigError([fault(VARIABLE, said, "each GPU once")])
    if asked > len(found):
        said = os.environ.get(VARIABLE)
        where = f"{VARIABLE} is {said!r}" if said is not None else "nvidia-smi shows no more"
        allowed = f"at most {len(found)}, what this process may use here ({where})"
        raise ConfigError([fault("cluster.gpus_per_node", asked, allowed)])
    return found[:asked]


def of_slot(cluster: ClusterConfig, found: Sequence[str], slot: int) -> list[str]:
    """Those of one of the points that are computed at the same time; `found`: of all of them."""
    if cluster.shard:
        return list(found)
    each = cluster.tasks_per_node if found else 0
    return list(found[slot * each : (slot + 1) * each])


def choose_gpu(local_rank: int, shard: bool) -> None:
    """Give each process of a node a GPU of its own; with `shard` the only one keeps all.

    Must come before torch is imported.
    """
    found = listed(os.environ.get(VARIABLE, ""))
    if found and not shard:
        os.environ[VARIABLE] = found[local_rank % len(found)]
