"""Keys of `cluster` that nothing would heed, or that contradict each other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from freqexp_cluster.executors import sbatch_text

from freqexp.composing import compose
from freqexp.config.cluster import ClusterConfig, Executor
from freqexp.errors import ConfigError


def faults(executor: Executor, **changes: Any) -> list[str]:
    return ClusterConfig(executor=executor, **changes).check("cluster")


def ignored(executor: Executor, **changes: Any) -> list[str]:
    config = ClusterConfig(executor=executor, **changes)
    typed = {f"cluster.{name}" for name in changes}
    assert config.unused("cluster", ()) == []
    return config.unused("cluster", typed)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("partition", "gpu"),
        ("account", "vision"),
        ("time", "08:00:00"),
        ("mem_gb", 64.0),
        ("max_parallel", 4),
        ("processes", 2),
        ("setup", ["module load cuda"]),
        ("extra", {"reservation": "mine"}),
        ("gpus_per_node", 1),
    ],
)
def test_what_this_process_would_ignore_is_refused(name: str, value: Any) -> None:
    (line,) = ignored(Executor.local, **{name: value})
    assert line.startswith(f"cluster.{name}: got {value!r}, allowed: nothing, as cluster=local")
    assert "cluster=slurm submits" in line
    assert ignored(Executor.slurm, **{name: value}) == []


def test_what_a_file_of_this_machine_says_waits_for_its_executor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "local.yaml").write_text("cluster: {partition: gpu, extra: {reservation: mine}}\n")
    monkeypatch.setenv("FREQEXP_CONFIG_DIR", str(tmp_path))
    assert compose.compose(()).cluster.partition == "gpu"
    for typed in ("cluster.partition=gpu", "cluster.extra.reservation=theirs"):
        with pytest.raises(ConfigError, match=r"allowed: nothing, as cluster=local"):
            compose.compose((typed,))


def test_workers_ignore_what_only_slurm_can_give() -> None:
    said = ignored(Executor.workers, qos="long", cpus_per_gpu=8, time="10:00:00", processes=2)
    assert [line.split(":")[0] for line in said] == ["cluster.cpus_per_gpu", "cluster.qos"]
    assert ignored(Executor.local, shard=True, gpus_per_node=2) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"extra": {"mem_per_cpu": "4G"}, "mem_gb": 64.0}, "cluster.extra.mem_per_cpu: got '4G'"),
        ({"extra": {"mem-per-gpu": "9G"}, "mem_gb": 8.0}, "cluster.extra.mem_per_gpu: got '9G'"),
        ({"extra": {"gres": "gpu:2"}, "gpus_per_node": 2}, "cluster.extra.gres: got 'gpu:2'"),
        (
            {"extra": {"gpus_per_task": "1"}, "gpus_per_node": "v100:2"},
            "cluster.extra.gpus_per_task: got '1', allowed: nothing beside cluster.gpus_per_node="
            "v100:2",
        ),
        (
            {"extra": {"gres": "gpu:2", "gpus": "4"}},
            "cluster.extra.gpus: got '4', allowed: nothing beside cluster.extra.gres",
        ),
        ({"extra": {"gpus": "4"}}, "cluster.extra.gpus: got '4', allowed: only with cluster.proc"),
        ({"extra": {"cpus_per_gpu": "4"}}, "cluster.extra: got 'cpus_per_gpu', allowed: options"),
        ({"extra": {"ntasks": "4"}}, "cluster.extra: got 'ntasks', allowed: options of sbatch"),
        ({"extra": {"test_only": "true"}}, "cluster.extra: got 'test_only'"),
        ({"extra": {"p": "gpu"}}, "cluster.extra: got 'p', allowed: the long name, partition"),
        ({"extra": {"--qos": "x"}}, "cluster.extra: got '--qos', allowed: long names"),
        ({"extra": {"comment": "a\n#SBATCH --x"}}, "cluster.extra.comment: got"),
        ({"gpus_per_node": "a100:65"}, "cluster.gpus_per_node: got 'a100:65', allowed: a number"),
        ({"gpus_per_node": "4 a100"}, "cluster.gpus_per_node: got '4 a100'"),
        ({"setup": ["module load a\nb"]}, "cluster.setup: got"),
    ],
)
def test_contradictions_are_named(changes: dict[str, Any], said: str) -> None:
    (line,) = faults(Executor.slurm, **changes)
    assert line.startswith(said)


def test_a_type_of_gpu_and_gres_set_the_number_of_processes() -> None:
    for changes in (
        {"gpus_per_node": "a100:4"},
        {"extra": {"gres": "gpu:a100:4"}},
        {"extra": {"gres": "nvme:100,gpu:4"}},
    ):
        cluster = ClusterConfig(executor=Executor.slurm, **changes)  # type: ignore[arg-type]
        assert (cluster.gpus, cluster.tasks, cluster.check("cluster")) == (4, 4, [])
    one = ClusterConfig(executor=Executor.slurm, extra={"gres": "gpu:h100"})
    assert one.tasks == 1
    assert replace(one, extra={"gres": "nvme:7"}).gpus == 0
    named = sbatch_text(
        ClusterConfig(executor=Executor.slurm, gpus_per_node="h100:2"), "s", Path("j"), Path("c"), 1
    )
    assert "#SBATCH --gpus-per-node=h100:2\n" in named
    assert "#SBATCH --ntasks-per-node=2\n" in named


def test_further_options_need_no_plus() -> None:
    typed = ["cluster.extra.reservation=mine", "+cluster.extra.mail-type=END"]
    typed += ["cluster.extra.exclusive=true", "cluster.extra.contiguous=false"]
    cfg = compose.compose(["cluster=slurm", *typed])
    text = sbatch_text(cfg.cluster, "s", Path("j"), Path("c"), 1)
    for line in ("--reservation=mine", "--mail-type=END", "--exclusive"):
        assert f"#SBATCH {line}\n" in text
    assert "contiguous" not in text
    with pytest.raises(ConfigError, match=r"cluster\.partition: got 'gpu'"):
        compose.compose(["cluster.partition=gpu"])
