"""Whose GPUs the points of a sweep get: the names in CUDA_VISIBLE_DEVICES are text."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from freqexp_cluster import gpus
from freqexp_cluster.executors import local_executor

from freqexp.config.cluster import ClusterConfig, Executor
from freqexp.errors import ConfigError

MIG = "MIG-3f1c9a52-6a0e-5b67-9d0e-aa0c5b3f0e11"
UUID = "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6"


def workers(number: Any, **changes: Any) -> ClusterConfig:
    return ClusterConfig(executor=Executor.workers, gpus_per_node=number, **changes)


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("2,3", ["2", "3"]),
        (" 7 , 0", ["7", "0"]),
        (f"{UUID},5", [UUID, "5"]),
        (f"{MIG},MIG-GPU-8932f937-d72c/1/0", [MIG, "MIG-GPU-8932f937-d72c/1/0"]),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        ("1,-1,4", ["1"]),
        ("0,,4", ["0"]),
    ],
)
def test_a_list_is_read_as_cuda_reads_it(value: str, names: list[str]) -> None:
    assert gpus.listed(value) == names


@pytest.mark.parametrize(
    ("value", "number", "slots"),
    [
        ("2,3", 2, [["2"], ["3"]]),
        ("6,4,1,0", 2, [["6"], ["4"]]),
        (f"{UUID},{MIG}", 2, [[UUID], [MIG]]),
        (MIG, 1, [[MIG], []]),
    ],
)
def test_points_get_what_this_process_may_use(
    value: str, number: int, slots: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    found = gpus.of_workers(workers(number))
    assert [gpus.of_slot(workers(number), found, slot) for slot in (0, 1)] == slots
    assert gpus.of_slot(workers(number, shard=True), found, 0) == found


def test_processes_of_one_point_get_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "9,8,5,3")
    four = workers(4, processes=2)
    found = gpus.of_workers(four)
    assert [gpus.of_slot(four, found, slot) for slot in (0, 1)] == [["9", "8"], ["5", "3"]]
    assert gpus.of_workers(workers(0)) == []
    assert gpus.of_slot(workers(0), [], 1) == []


@pytest.mark.parametrize(
    ("value", "number", "said"),
    [
        ("3", 2, "cluster.gpus_per_node: got 2, allowed: at most 1, .*CUDA_VISIBLE_DEVICES is '3'"),
        ("", 1, "got 1, allowed: at most 0"),
        ("NoDevFiles", 1, "at most 0.*'NoDevFiles'"),
        (f"{MIG},void", 3, "got 3, allowed: at most 1"),
        ("1,1", 1, "CUDA_VISIBLE_DEVICES: got '1,1', allowed: each GPU once"),
    ],
)
def test_no_more_are_taken_than_may_be_used(
    value: str, number: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    with pytest.raises(ConfigError, match=said):
        gpus.of_workers(workers(number))


def test_without_a_list_the_machines_own_count(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    stub = tmp_path / "nvidia-smi"
    stub.write_text("#!/bin/sh\nprintf 'GPU 0: A100\\n  MIG 1g.5gb\\nGPU 1: A100\\n'\n")
    stub.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert gpus.of_workers(workers(2)) == ["0", "1"]
    with pytest.raises(ConfigError, match=r"at most 2, .*nvidia-smi"):
        gpus.of_workers(workers(3))


def test_the_names_reach_the_processes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: dict[str, Any] = {}

    def start(**given: Any) -> Any:
        asked.update(given)
        return type("Process", (), {"pid": 1, "poll": lambda self: 0})()

    monkeypatch.setattr("submitit.local.local.start_controller", start)
    executor = local_executor(workers(4, processes=2), tmp_path, ["5", UUID])
    executor.submit(print)
    assert asked["cuda_devices"] == f"5,{UUID}"
    assert asked["tasks_per_node"] == 2


@pytest.mark.parametrize(
    ("value", "rank", "shard", "expected"),
    [
        ("4,6", 0, False, "4"),
        ("4,6", 1, False, "6"),
        ("4,6", 1, True, "4,6"),
        (f"{UUID},{MIG}", 1, False, MIG),
        ("", 0, False, ""),
        ("NoDevFiles", 1, False, "NoDevFiles"),
    ],
)
def test_each_process_gets_a_gpu(
    value: str, rank: int, shard: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    gpus.choose_gpu(rank, shard)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == expected
