"""What is decided before anything is submitted; no SLURM."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from freqexp.composing import compose
from freqexp.config.cluster import ClusterConfig, Executor, Retry, parse_minutes
from freqexp.config.run import RunConfig
from freqexp.config.saved import to_yaml
from freqexp.errors import ConfigError, UserError
from freqexp.results.record import Record, settle
from freqexp.results.record_file import Records
from freqexp.results.summarize import summarize
from freqexp.results.summary import write_summary
from freqexp.running.shares import Share
from freqexp.schemas.compressor import CombinedConfig
from freqexp.schemas.kv_codes import LowRankConfig
from freqexp.schemas.learned import MergeConfig

sys.path.insert(0, str(Path(__file__).parents[2] / "launchers"))

from freqexp_cluster import dry_run, partitions, queue, said, slurm, snapshot, submit
from freqexp_cluster.estimate import doubt_of_gpu, estimate, gpu_gib
from freqexp_cluster.executors import sbatch_text, workers_at_once
from freqexp_cluster.freezing import YamlTexts, freeze
from freqexp_cluster.node import PointTask
from freqexp_cluster.outcome import why
from freqexp_cluster.partitions import Partition
from freqexp_cluster.todo import sort_out

GOLDEN = Path(__file__).parent / "a100x4.sh"
PARTITIONS = [
    Partition("gpu", True, 4, None, cpus=32, memory_mb=250_000),
    Partition("short", False, 8, 5),
]


@pytest.fixture(scope="module")
def composed() -> RunConfig:
    return compose.compose(["cluster=a100x4", "samples=2", "tracking=off"])


@pytest.fixture
def point(composed: RunConfig, tmp_path: Path) -> Callable[..., compose.Point]:
    def make(**changes: object) -> compose.Point:
        return compose.Point((), replace(composed, output_dir=str(tmp_path / "out"), **changes))

    return make


def test_an_adapter_is_the_same_folder_everywhere(composed: RunConfig) -> None:
    def sent(adapter: str) -> str | None:
        model = replace(composed.model, adapter=adapter)
        return submit.absolute(replace(composed, model=model)).model.adapter

    assert sent("here/adapter") == str(Path.cwd() / "here" / "adapter")
    assert sent("bundled") == "bundled"


def test_files_of_methods_are_the_same_everywhere(composed: RunConfig) -> None:
    kv = LowRankConfig(basis_path="here/bases.safetensors")

    def sent(weights: str | None) -> CombinedConfig:
        method = CombinedConfig(token=MergeConfig(weights=weights), kv=kv)
        found = submit.absolute(replace(composed, compressor=method)).compressor
        assert isinstance(found, CombinedConfig)
        assert found.codec == method.codec
        return found

    here = Path.cwd() / "here"
    assert sent("here").token == MergeConfig(weights=str(here))
    assert sent("here").kv == LowRankConfig(basis_path=str(here / "bases.safetensors"))
    for same in ("bundled", None):
        assert sent(same).token == MergeConfig(weights=same)


def test_the_batch_file_of_a100x4(composed: RunConfig) -> None:
    cluster = replace(
        composed.cluster,
        partition="gpu",
        account="vision",
        qos="long",
        constraint="a100&80gb",
        exclude="node7",
        max_parallel=4,
        setup=["module load cuda"],
        extra={"reservation": "mine"},
    )
    jobs = Path("/data/outputs/sweeps/table1/jobs")
    text = sbatch_text(cluster, "table1", jobs, Path("/data/code"), 8)
    assert text.rstrip() + "\n" == GOLDEN.read_text().replace(" python -u", f" {sys.executable} -u")


def test_a_single_point_is_no_array_and_shares_nothing() -> None:
    cluster = ClusterConfig(executor=Executor.slurm, gpus_per_node=4, shard=True)
    text = sbatch_text(cluster, "x", Path("/jobs"), Path("/code"), 1)
    assert "--array" not in text
    assert "--ntasks-per-node=1\n" in text
    assert "--gpus-per-node=4\n" in text
    assert "--kill-on-bad-exit" not in text


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("90", 90),
        ("04:00:00", 240),
        ("0:00:61", None),
        ("00:01:30", 2),
        ("1-12:00:00", 2160),
        ("0", None),
        ("00:00:00", None),
        ("4h", None),
        ("04:00", None),
        ("-5", None),
    ],
)
def test_time_limits(text: str, minutes: int | None) -> None:
    assert parse_minutes(text) == minutes
    faults = ClusterConfig(executor=Executor.slurm, time=text, signal_delay_s=30).check("cluster")
    assert bool(faults) is (minutes is None)
    assert not faults or faults[0].startswith(f"cluster.time: got {text!r}, allowed: minutes")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"signal_delay_s": 3600, "time": "60"}, "cluster.signal_delay_s: got 3600"),
        ({"partition": "a b"}, "cluster.partition: got 'a b'"),
        ({"extra": {"time": "5"}}, "cluster.extra: got 'time'"),
        (
            {"executor": Executor.local, "nodes": 2},
            "cluster.nodes: got 2, allowed: 1 without SLURM",
        ),
        ({"shard": True, "processes": 2}, "cluster.shard: got '1 nodes, 2 processes'"),
        ({"mem_gb": -1.0}, "cluster.mem_gb: got -1.0"),
        (
            {"executor": Executor.workers, "gpus_per_node": 2, "max_parallel": 3},
            "cluster.gpus_per_node: got 2, allowed: at least one a process (3)",
        ),
    ],
)
def test_what_does_not_go_together(changes: dict[str, object], said: str) -> None:
    settings = {"executor": Executor.slurm, **changes}
    (found,) = ClusterConfig(**settings).check("cluster")  # type: ignore[arg-type]
    assert found.startswith(said)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"partition": "gpus"}, "cluster.partition: got 'gpus', allowed: gpu, short"),
        ({"gpus_per_node": 5}, "cluster.gpus_per_node: got 5, allowed: at most 4"),
        ({"partition": "short", "time": "6"}, "cluster.time: got '6', allowed: at most 5 minutes"),
        (
            {"cpus_per_gpu": 9, "gpus_per_node": 4},
            "cluster.cpus_per_gpu: got 9, allowed: at most 32 for 4 processes on a node",
        ),
        ({"mem_gb": 245.0}, "cluster.mem_gb: got 245.0, allowed: at most 250000 MB on a node"),
    ],
)
def test_what_the_partition_cannot_give(changes: dict[str, object], said: str) -> None:
    cluster = ClusterConfig(executor=Executor.slurm, **changes)  # type: ignore[arg-type]
    with pytest.raises(ConfigError) as raised:
        partitions.check_against(cluster, PARTITIONS)
    assert str(raised.value).startswith(said)


def test_a_partition_list_is_as_good_as_its_best() -> None:
    cluster = ClusterConfig(partition="gpu,short", gpus_per_node=8, time="6")
    partitions.check_against(cluster, PARTITIONS)
    with pytest.raises(ConfigError, match="no default partition"):
        partitions.check_against(ClusterConfig(), PARTITIONS[1:])


def test_sinfo_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = (
        "PARTITION|TIMELIMIT|GRES|CPUS|MEMORY\n"
        "gpu*|infinite|gpu:a100:4(S:0-1)|64|500000+\n"
        "gpu*|infinite|(null)|96+|250000\n"
        "welcome to the cluster\n"
        "short|5:00|gpu:2,mps:9|N/A|N/A\n"
        "old|infinite|(null)\n"
    )
    monkeypatch.setattr(queue, "ask", lambda *_: lines)
    assert partitions.partitions() == [
        Partition("gpu", True, 4, None, 96, 500_000),
        Partition("short", False, 2, 5),
        Partition("old", False, 0, None),
    ]


def test_without_slurm_it_is_said_what_to_do(
    point: Callable[..., compose.Point], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"sbatch is not on PATH.*cluster=workers"):
        submit.launch([point()])
    assert not (tmp_path / "out").exists()


def test_points_go_out_together(point: Callable[..., compose.Point], composed: RunConfig) -> None:
    other = replace(composed.cluster, time="5")
    with pytest.raises(ConfigError, match="cluster: got 2 different ones, allowed: one value"):
        submit.make_sweep([point(), point(cluster=other)])


def test_a_node_finds_overrides_and_callbacks(tmp_path: Path) -> None:
    line = ["compressor=token", "cluster=slurm", "tracking=off", f"output_dir={tmp_path}/out"]
    own = ["+hydra.callbacks.x._target_=hydra.experimental.callbacks.LogJobReturnCallback"]
    asked = compose.ask([*line, *own])
    sweep = submit.make_sweep(asked.points, asked)
    base, ours = freeze(sweep, sweep.runs)
    kept = json.loads((sweep.folder / "sweep.json").read_text())
    assert kept["arguments"] == [*line, *own]
    cfg = asked.points[0].config
    assert base._point(cfg).added
    assert ours._point(cfg).overrides == tuple(line)
    assert ours._watcher(Share()) is not None
    assert ours._watcher(Share(rank=1, of=2)) is None
    again = compose.ask(line)
    freeze(submit.make_sweep(again.points, again), sweep.runs)
    assert ours._watcher(Share()) is None


def test_a_frozen_text_is_what_to_yaml_writes(composed: RunConfig) -> None:
    texts = YamlTexts()
    noted = replace(composed, tags=["a", "b: c"], notes="it is: so")
    for cfg in (composed, replace(composed, keep_ratio=0.25, sweep_name="1e5", seed=7), noted):
        assert texts.of(cfg) == to_yaml(cfg)


def test_runs_are_sorted_out_by_what_became_of_them(point: Callable[..., compose.Point]) -> None:
    sweep = submit.make_sweep([point(seed=seed, baseline=False) for seed in range(3)])
    queued, failed, fresh = sweep.runs
    for run, job in ((queued, "7_0"), (failed, "7_1")):
        sweep.run_folder(run).mkdir(parents=True)
        (sweep.run_folder(run) / "submission.json").write_text(json.dumps({"job_id": job}))
    todo = sort_out(sweep, {"7_0": "RUNNING"})
    assert (todo.submit, todo.queued) == ([failed, fresh], [(queued, "7_0")])
    retry = replace(sweep, cluster=replace(sweep.cluster, retry=Retry.failed))
    todo = sort_out(retry, {"7_0": "PENDING"})
    assert (todo.submit, todo.left) == ([failed], [fresh])


def test_of_one_run_only_the_most_samples_go_out(point: Callable[..., compose.Point]) -> None:
    """Two jobs on one run folder would be in each other's way."""
    points = [point(samples=samples, baseline=False) for samples in (4, 9, 2)]
    sweep = submit.make_sweep(points)
    few, many, fewest = sweep.runs
    assert few.run_id == many.run_id == fewest.run_id
    todo = sort_out(sweep, {})
    assert (todo.submit, todo.parts) == ([many], [few, fewest])
    (task,) = freeze(sweep, todo.submit)
    assert task._frozen().samples == 9
    assert "2 are the first samples of another one" in "\n".join(
        said.report(sweep, todo, ["7"], {})
    )
    assert "(2 with a larger one, 1 to submit)" in dry_run.grid(sweep, todo)


def test_a_grown_run_costs_what_is_missing(point: Callable[..., compose.Point]) -> None:
    sweep = submit.make_sweep([point(samples=10, baseline=False)])
    (run,) = sweep.runs
    assert "1 runs x 10 samples = 10 answers\n" in estimate(sweep, sweep.runs)
    answered = [
        Record(
            sample_id=f"s{index}",
            needles=2,
            bucket="",
            expected="",
            index=index,
            score=1.0,
            prefill_ms=90_000.0,
        )
        for index in (0, 1, 2, 3, 12)
    ]
    folder = sweep.run_folder(run)
    with Records(folder / "records.jsonl") as store:
        for record in answered[:2]:
            store.append(record)
    with Records(folder / "records-1.jsonl") as store:
        for record in answered[2:]:
            store.append(record)
    shown = estimate(sweep, sweep.runs)
    assert "1 runs x 10 samples = 10 answers, 6 of them not yet given\n" in shown
    assert "time: unknown" in shown
    write_summary(folder, summarize(run.cfg, run.run_id, settle(answered)))
    per_sample, processes = 90, sweep.cluster.tasks
    shown = estimate(sweep, sweep.runs)
    assert f"{per_sample * 6 / 60 / processes:.1f} min a run in {processes} processes" in shown
    assert f"{per_sample * 6 / 3600:.2f} process-hours in all" in shown


def test_why_a_run_is_not_complete(tmp_path: Path) -> None:
    log = tmp_path / "0_log.out"
    submission = {"sweep": "ours", "log": str(log)}
    assert why(tmp_path, "ours") == "not started"
    (tmp_path / "submission.json").write_text(json.dumps(submission))
    assert why(tmp_path, "ours").startswith("cancelled before it started")
    log.write_text("")
    assert why(tmp_path, "ours") == f"killed or cancelled; log: {log}"
    assert why(tmp_path, "more") == f"its job was of the sweep ours, for other samples; log: {log}"


def test_another_sweep_of_that_name_is_refused(point: Callable[..., compose.Point]) -> None:
    sweep = submit.make_sweep([point(seed=1, sweep_name="mine")])
    freeze(sweep, sweep.runs)
    submit.make_sweep([point(seed=seed, sweep_name="mine") for seed in (1, 2)])
    with pytest.raises(UserError, match=r"sweep_name: got 'mine'.*Choose another"):
        submit.make_sweep([point(seed=2, sweep_name="mine")])


def test_a_full_disk_submits_nothing(
    point: Callable[..., compose.Point], monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = submit.make_sweep([point()])

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="No space left on device"):
        freeze(sweep, sweep.runs)


def test_an_edited_frozen_configuration_is_refused(point: Callable[..., compose.Point]) -> None:
    sweep = submit.make_sweep([point()])
    task, *_ = freeze(sweep, sweep.runs)
    assert task._frozen().sweep_name == sweep.name
    file = Path(task.folder) / "config.yaml"
    file.write_text(file.read_text().replace("keep_ratio: 0.5", "keep_ratio: 0.6"))
    with pytest.raises(UserError, match="was changed after it was submitted"):
        task._frozen()


def test_the_snapshot_is_the_code_and_made_once(tmp_path: Path) -> None:
    code = snapshot.snapshot(tmp_path)
    assert snapshot.snapshot(tmp_path) == code
    assert [path.name for path in tmp_path.iterdir()] == [code.name]
    for name in (
        "freqexp/running/execute.py",
        "freqexp/models/tiny/model.safetensors",
        "conf/run.yaml",
        "launchers/freqexp_cluster/node.py",
        "launchers/hydra_plugins/freqexp_local/plugins.py",
    ):
        assert (code / name).is_file()
    assert not list(code.rglob("__pycache__"))


def test_large_sweeps_are_split_where_the_cluster_wants_it() -> None:
    tasks = [PointTask(str(number), "", "", "", "") for number in range(5)]
    assert [len(part) for part in slurm.arrays(tasks, 1001)] == [5]
    assert [len(part) for part in slurm.arrays(tasks, 2)] == [2, 2, 1]


def test_workers_share_cores_or_gpus() -> None:
    workers_of = ClusterConfig(executor=Executor.workers)
    assert workers_at_once(workers_of, 4) == 4
    assert workers_at_once(workers_of, 64) == 8
    assert workers_at_once(replace(workers_of, processes=3), 2) == 1
    four = replace(workers_of, gpus_per_node=4, processes=2)
    assert workers_at_once(four, 64) == 2


@pytest.mark.parametrize(
    ("changes", "gib"),
    [
        ({}, 40),
        ({"constraint": "a100&80gb"}, 80),
        ({"constraint": "a100_40g"}, 40),
        ({"gpu_memory_gb": 64.0}, 64),
        ({"name": "h200x8"}, 141),
        ({"name": "x", "gpus_per_node": "h100:2"}, 80),
        ({"name": "x"}, None),
    ],
)
def test_memory_of_a_gpu_is_what_is_said_else_the_least(
    changes: dict[str, object], gib: float | None
) -> None:
    settings: dict[str, object] = {"name": "a100x4", "gpus_per_node": 4, **changes}
    cluster = ClusterConfig(executor=Executor.slurm, **settings)  # type: ignore[arg-type]
    assert gpu_gib(cluster)[0] == gib
    doubt = doubt_of_gpu(cluster)
    assert (doubt is None) == (changes != {} and cluster.gpus_per_node != "h100:2")
    assert doubt is None or "cluster.gpu_memory_gb" in doubt


def test_a_line_of_setup_that_fails_ends_the_job(tmp_path: Path) -> None:
    def run(*setup: str) -> tuple[int, str]:
        cluster = ClusterConfig(executor=Executor.slurm, setup=[*setup])
        text = sbatch_text(cluster, "s", tmp_path, tmp_path, 1)
        text = text[: text.index("# command")] + "echo started"
        done = subprocess.run(["bash", "-c", text], capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr.splitlines()[
            -1
        ] if done.stderr else done.stdout

    assert run("X='a b'", "test \"$X\" = 'a b'") == (0, "started\n")
    assert run("true", "no-such-module load cuda") == (
        1,
        "freqexp: cluster.setup: no-such-module load cuda (exit code 127)",
    )
    assert run("echo \\", "'it'\"'s\"; (exit 3)") == (
        1,
        "it's\nfreqexp: cluster.setup: 'it'\"'s\"; (exit 3) (exit code 3)",
    )
    assert run("if true; then", "false || true", "fi") == (0, "started\n")
