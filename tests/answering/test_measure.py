from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from freqexp.answering import measure
from freqexp.answering.measure import PeakMemory, stopwatch

PEAKS = """
import json
import numpy as np
from freqexp.answering.measure import PeakMemory

memory = PeakMemory()
memory.start()
peaks = [memory.read_bytes()]
block = np.ones(64 << 20, np.uint8)
del block
peaks.append(memory.read_bytes())
memory.start()
peaks.append(memory.read_bytes())
print(json.dumps(peaks))
"""
"""In a process of its own: in one that gave back memory before, the block may find room there."""


class FakeCuda:
    """Notes what is asked of a GPU, in order."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def is_initialized(self) -> bool:
        return True

    def synchronize(self) -> None:
        self.calls.append("synchronize")

    def reset_peak_memory_stats(self) -> None:
        self.calls.append("reset")

    def max_memory_allocated(self) -> int:
        return 123


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    fake = FakeCuda()
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=fake))
    return fake


def test_a_stopwatch_gives_milliseconds() -> None:
    with stopwatch() as watch:
        time.sleep(0.02)
    assert 20 <= watch.ms < 2000


def test_a_stopwatch_waits_for_the_gpu_before_and_after(cuda: FakeCuda) -> None:
    with stopwatch():
        cuda.calls.append("work")
    assert cuda.calls == ["synchronize", "work", "synchronize"]


def test_the_peak_on_a_gpu_is_of_its_tensors(cuda: FakeCuda) -> None:
    memory = PeakMemory()
    memory.start()
    assert cuda.calls == ["reset"]
    assert memory.read_bytes() == 123


@pytest.mark.skipif(not measure._CLEAR_REFS.exists(), reason="needs Linux's /proc")
def test_the_peak_on_a_cpu_is_of_the_time_since_the_start() -> None:
    size = 64 << 20
    printed = subprocess.check_output([sys.executable, "-c", PEAKS], text=True)
    before, high, again = json.loads(printed)
    assert 0.9 * size < high - before < 1.5 * size
    assert again < high - 0.5 * size


def test_a_peak_that_cannot_be_read_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = PeakMemory()
    assert memory.read_bytes() is None
    monkeypatch.setattr(measure, "_CLEAR_REFS", tmp_path / "none" / "clear_refs")
    memory.start()
    assert memory.read_bytes() is None
    monkeypatch.setattr(measure, "_CLEAR_REFS", tmp_path / "clear_refs")
    monkeypatch.setattr(measure, "_STATUS", tmp_path / "status")
    memory.start()
    assert memory.read_bytes() is None
    (tmp_path / "status").write_text("VmPeak:\t 7 kB\nVmHWM:\t  21 kB\n")
    assert memory.read_bytes() == 21 * 1024
