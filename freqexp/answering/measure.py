"""Wall time, peak memory and kind of machine, right on CPU and on CUDA."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from freqexp.schemas.model import ModelConfig

_CLEAR_REFS = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")


def _cuda() -> ModuleType | None:
    """torch.cuda when this process already uses it; never the reason that torch is imported."""
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_initialized() else None


def free_cuda_cache() -> None:
    """Give unused blocks of torch's CUDA allocator back, so that smaller tensors find room."""
    cuda = _cuda()
    if cuda is not None:
        cuda.empty_cache()


class Stopwatch:
    """ms: wall time of the timed block in milliseconds, set when it ends without an exception."""

    ms: float


@contextmanager
def stopwatch() -> Iterator[Stopwatch]:
    """Time a block. On CUDA its queued kernels are waited for, before and after."""
    cuda = _cuda()
    if cuda is not None:
        cuda.synchronize()
    watch = Stopwatch()
    started = time.perf_counter()
    yield watch
    cuda = _cuda()
    if cuda is not None:
        cuda.synchronize()
    watch.ms = (time.perf_counter() - started) * 1000.0


class PeakMemory:
    """Peak memory since `start`.

    On CUDA: the most bytes that tensors took on the device. On a CPU: the process's peak resident
    size (Linux only), which the kernel lets a process reset for itself.
    """

    def __init__(self) -> None:
        self._resident = False

    def start(self) -> None:
        """Forget earlier peaks."""
        cuda = _cuda()
        if cuda is not None:
            cuda.reset_peak_memory_stats()
        try:
            # "5" resets the peak resident size only (Linux, Documentation/filesystems/proc.rst).
            _CLEAR_REFS.write_text("5")
            self._resident = True
        except OSError:
            self._resident = False

    def read_bytes(self) -> int | None:
        """The peak in bytes; None where it cannot be measured."""
        cuda = _cuda()
        if cuda is not None:
            return int(cuda.max_memory_allocated())
        if not self._resident:
            return None
        try:
            status = _STATUS.read_text()
        except OSError:
            return None
        for line in status.splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        return None


def load() -> float | None:
    """Processes that ran or waited in the last minute, on average; None where it isn't known."""
    try:
        return round(os.getloadavg()[0], 2)
    except (AttributeError, OSError):
        return None


def machine() -> dict[str, Any]:
    """What of the machine a time depends on: `cpus` this process may use, `threads` of torch (None
    before it is imported), `load` as `load` has it.
    """
    torch = sys.modules.get("torch")
    may_use = getattr(os, "sched_getaffinity", None)
    return {
        "cpus": os.cpu_count() if may_use is None else len(may_use(0)),
        "threads": None if torch is None else torch.get_num_threads(),
        "load": load(),
    }


def host_kind(model: ModelConfig) -> str:
    """The GPU's name, or "cpu" with the machine's architecture."""
    if model.device.value != "cpu":
        import torch

        if torch.cuda.is_available():
            return str(torch.cuda.get_device_name())
    return f"cpu {platform.machine()}"
