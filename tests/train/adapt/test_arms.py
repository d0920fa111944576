"""Several methods adapted alike: what is started, and what is refused before."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from freqexp.composing.compose import collect
from freqexp.errors import ConfigError, UserError
from freqexp.paths import conf_dir
from freqexp.train.adapt.arms import main
from freqexp.train.adapt.config import load

FILE = conf_dir() / "train" / "arms.yaml"
ARMS = (
    *("none", "random", "pool", "block_mean", "downsample", "token"),
    *("blank_prune", "pixel_prune", "pool_needed", "pool_and_detail", "merge", "merge_needed"),
    *("merge_codes", "codes"),
)


class Started:
    """Notes what would be started; trainings leave the file that a trained compressor leaves."""

    def __init__(self, code: int = 0) -> None:
        self.commands: list[list[str]] = []
        self._code = code

    def __call__(self, arguments: Sequence[str]) -> int:
        self.commands.append(list(arguments))
        learned = [
            each for each in arguments if each in ("compressor=merge", "compressor=token_vq")
        ]
        out = [each for each in arguments if each.startswith("adapt.out=")]
        if learned and out:
            folder = Path(out[0].removeprefix("adapt.out="))
            folder.mkdir(parents=True)
            save_file({"weight": np.ones(1)}, folder / "compressor.safetensors")
        return self._code


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Started:
    start = Started()
    out = tmp_path_factory.mktemp("arms")
    assert main(FILE, [f"out={out}", "adapt.steps=3"], start) == 0
    return start


def test_every_arm_is_trained_and_then_evaluated(started: Started) -> None:
    modules = [command[0] for command in started.commands]
    assert modules == ["freqexp.train", "freqexp.run"] * len(ARMS)
    folders = [c[-1] for c in started.commands if c[0] == "freqexp.train"]
    assert [Path(folder).name for folder in folders] == list(ARMS)


def test_arms_differ_in_what_stands_in_the_loop_alone(started: Started) -> None:
    trained = [load(FILE.with_name("adapt.yaml"), c[2:]) for c in started.commands[::2]]
    configs = [config for config, _ in trained]
    assert {config.steps for config in configs} == {3}
    for config in configs:
        config.out = ""
        assert config == configs[0]
    runs = [run for _, run in trained]
    assert len({repr(run.model) for run in runs}) == 1
    # merge stands four times, token_vq twice.
    assert len({run.compressor.title for run in runs}) == len(ARMS) - 4


@pytest.mark.parametrize("name", ["none", "pool", "downsample"])
def test_runs_are_of_the_reader_as_it_was_and_adapted(started: Started, name: str) -> None:
    arguments = started.commands[2 * ARMS.index(name) + 1][1:]
    folder = next(each for each in arguments if each.startswith("model.adapter=")).split(",")[1]
    # An adapter has to be there to be asked for: here only that of none is.
    kept = [each for each in arguments if not each.startswith("model.adapter=")]
    points = [point.config for point in collect([*kept, "tracking='off'"])]
    assert sorted({point.needles.count for point in points}) == [2, 4, 8]
    assert {point.samples for point in points} == {252}
    assert Path(folder).name == name
    budget = {"pool": 72}.get(name)
    assert {point.keep_tokens for point in points} == {budget}


def test_trained_weights_go_with_their_adapter(started: Started) -> None:
    for name in ("pool_needed", "merge", "merge_needed", "merge_codes", "codes"):
        assert "compressor.weights=${model.adapter}" in started.commands[2 * ARMS.index(name) + 1]
    for name in ("pool", "blank_prune"):
        given = started.commands[2 * ARMS.index(name) + 1]
        assert not [each for each in given if each.startswith("compressor.weights")]


def test_what_can_be_chosen(tmp_path: Path) -> None:
    start = Started()
    chosen = [f"out={tmp_path}", "only=[merge,pool]", "evaluate=false"]
    assert main(FILE, chosen, start) == 0
    assert [Path(command[-1]).name for command in start.commands] == ["pool", "merge"]
    start = Started()
    assert main(FILE, [f"out={tmp_path}", "only=[pool]", "train=false"], start) == 0
    assert [command[0] for command in start.commands] == ["freqexp.run"]


def test_faults_come_before_anything_starts(tmp_path: Path) -> None:
    start = Started()
    with pytest.raises(ConfigError, match=r"only: got \['pooling'\], allowed: names of arms: none"):
        main(FILE, ["only=[pooling]"], start)
    with pytest.raises(ConfigError, match=r"arm none: adapt\.steps: got 0, allowed"):
        main(FILE, ["adapt.steps=0"], start)
    with pytest.raises(UserError, match="Key 'name' not in 'ArmsConfig'"):
        main(FILE, ["name=x"], start)
    assert not start.commands


def test_a_training_that_does_not_end_stops_the_rest(tmp_path: Path) -> None:
    start = Started(code=130)
    with pytest.raises(UserError, match="arm none: its training did not end"):
        main(FILE, [f"out={tmp_path}"], start)
    assert len(start.commands) == 1
