"""What users of Hydra type: every row of docs/hydra.md acts, or is answered with what to type."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

import freqexp
from freqexp.composing.compose import ask, collect, compose
from freqexp.errors import ConfigError

PAGE = (Path(freqexp.__file__).parents[1] / "docs" / "hydra.md").read_text()

# What is typed, and what the answer names in its place.
ANSWERED = [
    ("hydra.run.dir=here", "output_dir="),
    ("hydra.sweep.dir=here", "output_dir="),
    ("-m keep_ratio=0.3,0.5 hydra.sweep.subdir=x", "output_dir="),
    ("hydra.output_subdir=.hydra", "overrides.yaml"),
    ("hydra.job.chdir=true", "output_dir"),
    ("+hydra.job.env_set.X=1", "cluster.setup"),
    ("hydra/job_logging=default", "hydra.verbose=true"),
    ("hydra/launcher=basic", "cluster=local"),
    ("hydra/launcher=joblib", "cluster=workers"),
    ("hydra/launcher=ray", "cluster=slurm"),
    ("hydra/launcher=submitit_local", "cluster=workers"),
    ("hydra/launcher=submitit_slurm", "cluster=slurm"),
    ("hydra.launcher.timeout_min=60", "cluster.time"),
    ("hydra.launcher.tasks_per_node=4", "cluster.processes"),
    ("hydra.launcher.array_parallelism=8", "cluster.max_parallel"),
    ("+hydra.launcher.additional_parameters.x=1", "+cluster.extra."),
    ("hydra.launcher.max_num_timeout=3", "cluster.max_requeues"),
    ("hydra/sweeper=optuna", "-m keep_ratio=0.3,0.5,0.7"),
    ("hydra/sweeper=basic", "-m keep_ratio=0.3,0.5,0.7"),
    ("hparams_search=optuna", "-m keep_ratio=0.3,0.5,0.7"),
    ("-m keep_ratio=interval(0,1)", "-m keep_ratio=0.3,0.5,0.7"),
    ("(keep_ratio=0.3,seed=1),(keep_ratio=0.5,seed=2)", "-m experiment="),
    ("debug=default", "experiment=smoke"),
    ("extras.print_config=true", "--cfg job"),
    ("--experimental-rerun outputs/config.pickle", "python -m freqexp.reproduce"),
    ("output_dir=outputs/${now:%Y-%m-%d}", "the same on every resume"),
    ("keep_ratio=0.3,0.5", "-m (--multirun)"),
    ("--cfg job ++foo=1", "no such key"),
    ("--cfg job compressor=glob(block*)", "-m (--multirun)"),
    ("compressor=glob(nothing*)", "-m (--multirun)"),
    ("-m compressor=glob(nothing*)", "block_dct"),
    ("-m --cfg job keep_ratio=0.3", "Only one of"),
    ("--cfg job hydra.run.dir=here", "output_dir="),
    ("+hydra.callbacks.x._target_=nowhere.Nobody", "nowhere"),
]

# What is typed, and how many points it makes (0: it prints).
ACTS = [
    ("--cfg job", 0),
    ("--cfg hydra", 0),
    ("--cfg all", 0),
    ("--cfg job -p compressor --resolve", 0),
    ("--info searchpath", 0),
    ("--info defaults", 0),
    ("--info plugins", 0),
    ("--hydra-help", 0),
    ("-m compressor=glob(block_*,exclude=block_v*)", 3),
    ("-m seed=range(5)", 5),
    ("-m keep_ratio=choice(0.3,0.5)", 2),
    ("~experiment", 1),
    ("++compressor.block=8", 1),
    ("experiment=smoke", 1),
    ("-m +hydra.sweeper.params.keep_ratio='0.3,0.5'", 2),
    ("hydra.mode=MULTIRUN keep_ratio=0.3,0.5", 2),
    ("keep_ratio=0.3 -m seed=0,1", 2),
    ("hydra.verbose=false", 1),
    ("hydra/job_logging=disabled", 1),
    ("output_dir=${oc.env:HOME}", 1),
    ("hydra.job.name=mine", 1),
]


@pytest.fixture
def logging_as_before() -> Iterator[None]:
    """`hydra/job_logging` acts on all loggers of a process."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield
    root.setLevel(level)
    root.handlers[:] = handlers
    for name in root.manager.loggerDict:
        logging.getLogger(name).disabled = False


def words(line: str) -> list[str]:
    return line.split(" ")


def answered(typed: Sequence[str]) -> str:
    with pytest.raises(ConfigError) as caught:
        collect(typed)
    return str(caught.value)


@pytest.mark.parametrize(("line", "instead"), ANSWERED)
def test_a_habit_is_answered_with_what_to_type(
    line: str, instead: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = answered(words(line))
    assert instead in said
    assert len(said.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("logging_as_before")
@pytest.mark.parametrize(("line", "points"), ACTS)
def test_a_habit_acts(
    line: str,
    points: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert len(collect(words(line))) == points
    assert (points == 0) is (capfd.readouterr().out != "" or "--info" in line)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("line", [line for line, _ in (*ANSWERED, *ACTS)])
def test_the_page_has_every_row(line: str) -> None:
    named = ("hydra", "-", "hparams", "debug", "extras")
    for word in words(line):
        key = re.split("=", word.lstrip("+~"))[0]
        if key.startswith(named):
            assert key in PAGE or key.rpartition(".")[0] in PAGE, key


def test_keys_of_a_foreign_launcher_are_translated_together() -> None:
    said = answered(
        ["hydra/launcher=submitit_slurm", "hydra.launcher.timeout_min=60", "hydra.launcher.foo=1"]
    )
    assert "hydra.launcher.timeout_min is cluster.time" in said
    assert "hydra.launcher.foo is a key of cluster" in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("content", "instead"),
    [
        ("hydra: {run: {dir: there}}", "output_dir="),
        ("output_dir: out/${now:%H}", "every resume"),
    ],
)
def test_what_a_yaml_file_sets_is_answered_too(content: str, instead: str, tmp_path: Path) -> None:
    file = tmp_path / "experiment" / "mine.yaml"
    file.parent.mkdir()
    file.write_text(f"# @package _global_\n{content}\n")
    for more in ([], ["-m", "keep_ratio=0.3,0.5"]):
        assert instead in answered(["--config-dir", str(tmp_path), "experiment=mine", *more])


@pytest.mark.parametrize(
    ("plugin", "instead"), [("launcher", "cluster=local"), ("sweeper", "keep_ratio=0.3,0.5,0.7")]
)
def test_plugins_of_an_own_primary_config_are_answered(
    plugin: str, instead: str, tmp_path: Path
) -> None:
    (tmp_path / "mine.yaml").write_text(f"defaults: [run, {{override hydra/{plugin}: basic}}]\n")
    assert instead in answered(["--config-dir", str(tmp_path), "--config-name", "mine"])


def test_an_experiment_of_a_swept_group_is_looked_at_in_each_point(tmp_path: Path) -> None:
    for name, text in (("one", "samples: 3"), ("two", "hydra: {job: {chdir: true}}")):
        file = tmp_path / "experiment" / f"{name}.yaml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"# @package _global_\n{text}\n")
    said = answered(["-m", "--config-dir", str(tmp_path), "experiment=one,two"])
    assert said.startswith("hydra.job.chdir: got True")
    assert "(in 1 of 2 points: experiment=two)" in said


def test_compose_answers_as_the_command_does() -> None:
    for text, instead in (("hydra/launcher=ray", "cluster=workers"), ("hydra.run.dir=x", "output")):
        with pytest.raises(ConfigError, match=instead):
            compose([text])


def test_a_wandb_agent_and_our_run_ids_exclude_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_SWEEP_ID", "abc")
    said = answered(["seed=1"])
    assert said.startswith("tracking: got 'auto', allowed: off under a W&B agent")
    assert len(collect(["seed=1", "tracking=off"])) == 1


def test_the_typed_line_is_kept() -> None:
    line = ["keep_ratio=0.3,0.5", "-m", "needles=2"]
    assert ask(line).arguments == tuple(line)
