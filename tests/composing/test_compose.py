from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from freqexp.composing.compose import Point, collect, compose
from freqexp.composing.overrides import normalize
from freqexp.config.run import RunConfig
from freqexp.errors import ConfigError

TOP = "known: baseline, cluster, compressor"


def faults(*arguments: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        collect(arguments)
    return list(caught.value.faults)


@pytest.fixture
def folder(tmp_path: Path) -> Callable[[str, str], str]:
    """Writes a YAML file into an additional configuration folder, gives the folder."""

    def write(name: str, content: str) -> str:
        file = tmp_path / "more" / f"{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        return str(tmp_path / "more")

    return write


def test_no_arguments_are_one_default_point() -> None:
    assert collect([]) == [Point((), compose())]


def test_a_sweep_is_every_combination_with_numbers_as_options() -> None:
    points = collect(["-m", "needles=2,4", "keep_ratio=0.3,0.5", "compressor=token"])
    assert [(p.config.needles.count, p.config.keep_ratio) for p in points] == [
        (2, 0.3),
        (2, 0.5),
        (4, 0.3),
        (4, 0.5),
    ]
    assert points[0].overrides == ("needles='2'", "keep_ratio=0.3", "compressor=token")


def test_hard_needles_stand_in_a_sweep_with_the_others() -> None:
    points = collect(["-m", "needles=8,hard", "compressor=none"])
    usual, hard = (point.config.needles for point in points)
    assert hard == replace(usual, near=1.0)
    assert usual.count == 8


def test_the_sweep_flag_may_stand_anywhere() -> None:
    expected = collect(["-m", "keep_ratio=0.3,0.5", "samples=8"])
    assert collect(["keep_ratio=0.3,0.5", "-m", "samples=8"]) == expected
    assert collect(["keep_ratio=0.3,0.5", "samples=8", "--multirun"]) == expected


def test_a_sweep_leaves_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    collect(["-m", "keep_ratio=0.3,0.5"])
    collect([])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("typed", "understood"),
    [
        ("needles=2", "needles='2'"),
        ("needles=2,4,8", "needles='2','4','8'"),
        ("needles='2',\"4\"", "needles='2',\"4\""),
        ("needles=choice(2,4)", "needles=choice('2','4')"),
        ("needles=2.5", "needles=2.5"),
        ("needles.count=2", "needles.count=2"),
        ("render=glyph", "render@model.render=glyph"),
        ("seed=2", "seed=2"),
        ("-m", "-m"),
    ],
)
def test_what_is_typed_becomes_what_hydra_takes(typed: str, understood: str) -> None:
    assert normalize([typed]) == [understood]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ["compressor=foo", "needles=3", "profile=null", "render=foo"],
            [
                "compressor: got 'foo', allowed: ",
                "needles: got '3', allowed: 2, 4, 8, hard",
                "profile: got None, allowed: aggressive, aggressive_code, extreme, extreme_code, "
                "mild, mild_code, ultra_mild",
                "render: got 'foo', allowed: cells, glyph",
            ],
        ),
        (
            ["keep_ratio=abc", "model.dtype=int8", "samples=1.5", "baseline=maybe", "seed=null"],
            [
                "keep_ratio: got 'abc', allowed: a number",
                "model.dtype: got 'int8', allowed: float32, bfloat16, float16",
                "samples: got 1.5, allowed: an integer",
                "baseline: got 'maybe', allowed: true, false",
                "seed: got None, allowed: an integer",
            ],
        ),
        (
            ["compressor.block=0", "keep_ratio=1.5"],
            [
                "keep_ratio: got 1.5, allowed: a number above 0 and at most 1",
                "compressor.block: got 0, allowed: an integer from 1 to 128",
            ],
        ),
        (
            ["compressor=token", "compressor.block=3", "samples=0", "keep_ratio.x=1"],
            [
                "compressor.block: no such key; known: name, transform, quantize, prune, energy, "
                "scale",
                "keep_ratio.x: got 1, allowed: nothing, keep_ratio has no keys below it",
                "samples: got 0, allowed: an integer from 1 to 10000000",
            ],
        ),
        (["keep_ratio=0.3,0.5"], ["keep_ratio=0.3,0.5: several values need -m (--multirun)"]),
        (["keep_ratio=${nowhere}"], ["keep_ratio: Interpolation key 'nowhere' not found"]),
        (["keep_ratio=???"], ["keep_ratio: got None, allowed: a value, this one is missing"]),
        (["compressor.name=token"], ["compressor.name: got 'token', allowed: block_dct"]),
        (
            ["output_dir=a,b", "model.path=a b,c"],
            [
                "output_dir=a,b: several values need -m (--multirun); one value with commas: "
                "'output_dir=\"a,b\"'",
                "model.path=a b,c: several values need -m (--multirun); one value with commas: "
                "'model.path=\"a b,c\"'",
            ],
        ),
        (
            ["dtype=float16", "render.font=x", "columns=3", "quantize=true", "zzz=1"],
            [
                "dtype: no such key, did you mean model.dtype;",
                "render: no such key, did you mean model.render.font;",
                "columns: no such key, did you mean model.render.columns;",
                "quantize: no such key; known",
                "zzz: no such key; known",
            ],
        ),
        (
            ["compressor=external", "compressor.encode=cat", "compressor.files=x"],
            [
                "compressor.encode: got 'cat', allowed: a list, as in [a,b]",
                "compressor.files: got 'x', allowed: a list, as in [a,b]",
            ],
        ),
        (["foo=1"], ["foo: no such key; known: model, compressor, profile"]),
        (["+foo=1", "+compressor.blok=1"], ["foo: no such key", "compressor.blok: no such key"]),
        (["kep_ratio=1"], ["kep_ratio: no such key, did you mean keep_ratio;"]),
        (["keep_ratio", "seed=[1,"], ["override: got 'keep_ratio', all", "override: got 'seed=[1"]),
        (["~compressor"], ["compressor: got None, allowed: a value, this one is missing"]),
        (["hydra.foo=1"], ["hydra.foo=1: Could not override 'hydra.foo'."]),
        (["-m", "--cfg", "job"], ["Only one of --run, --multirun, --cfg"]),
        (
            ["-m", "keep_ratio=interval(0,1)"],
            ["keep_ratio: got 'interval(0,1)', allowed: values with commas"],
        ),
        (["--config-dir", "/nowhere"], ["Additional config directory '/nowhere' not found"]),
        (["--config-name", "nowhere"], ["Cannot find primary config 'nowhere'."]),
    ],
    ids=lambda value: value[0],
)
def test_every_fault_of_a_command_line_is_named(arguments: list[str], expected: list[str]) -> None:
    found = faults(*arguments)
    assert len(found) == len(expected)
    for line in expected:
        assert any(other.startswith(line) for other in found), (line, found)


def test_a_bad_point_stops_the_sweep_and_is_named_with_its_overrides() -> None:
    found = faults("-m", "compressor=block_dct,token", "keep_ratio=0.3,1.5", "compressor.block=0")
    bad_keep = "compressor=block_dct keep_ratio=1.5 compressor.block=0; compressor=token"
    assert found == [
        "compressor.block: got 0, allowed: an integer from 1 to 128 (in 2 of 4 points: "
        "compressor=block_dct keep_ratio=0.3 compressor.block=0; "
        "compressor=block_dct keep_ratio=1.5 compressor.block=0)",
        "keep_ratio: got 1.5, allowed: a number above 0 and at most 1 (in 2 of 4 points: "
        f"{bad_keep} keep_ratio=1.5 compressor.block=0)",
        "compressor.block: no such key; known: name, transform, quantize, prune, energy, scale "
        "(in 2 of 4 points: compressor=token keep_ratio=0.3 compressor.block=0; "
        "compressor=token keep_ratio=1.5 compressor.block=0)",
    ]


def test_range_faults_of_points_that_compose_are_named_with_their_points() -> None:
    found = faults("-m", "keep_ratio=0,0.5,1,2,3,4,5", "seed=-1")
    assert found[1] == "seed: got -1, allowed: an integer from 0 to 2**63 - 1"
    assert found[0].endswith("at most 1 (in 1 of 7 points: keep_ratio=0 seed=-1)")


def test_compose_names_every_fault_as_the_command_does() -> None:
    with pytest.raises(ConfigError) as caught:
        compose(["compressor.block=0", "keep_ratio=abc", "needles=3"])
    assert sorted(line.split(":")[0] for line in caught.value.faults) == [
        "compressor.block",
        "keep_ratio",
        "needles",
    ]


def test_an_experiment_can_choose_options_and_be_changed(
    folder: Callable[[str, str], str],
) -> None:
    text = (
        "# @package _global_\ndefaults:\n  - override /compressor: token\n"
        '  - override /needles: "4"\nsamples: 5\n'
    )
    more = folder("experiment/mine", text)
    (point,) = collect(["--config-dir", more, "experiment=mine", "keep_ratio=0.25"])
    cfg = point.config
    assert (cfg.compressor.name, cfg.needles.count, cfg.samples) == ("token", 4, 5)
    assert cfg.keep_ratio == 0.25


def test_an_experiment_can_be_a_sweep(folder: Callable[[str, str], str]) -> None:
    text = (
        "# @package _global_\nhydra:\n  mode: MULTIRUN\n  sweeper:\n    params:\n"
        "      needles: 2,4\n      keep_ratio: 0.3,0.5\n"
    )
    arguments = ["--config-dir", folder("experiment/grid", text), "experiment=grid"]
    assert len(collect(arguments)) == 4
    assert [p.config.needles.count for p in collect([*arguments, "keep_ratio=0.7"])] == [2, 4]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("# @package _global_\nfoo: 3\n", "Key 'foo' not in 'RunConfig'"),
        ("# @package _global_\nkeep_ratio: abc\n", "'abc' of type 'str' could not be converted"),
        ("# @package _global_\ntracking: off\n", "expected one of [auto, online, offline, off]"),
        ("# @package _global_\nseed: [1\n", "mine.yaml"),
    ],
)
def test_a_wrong_yaml_file_is_one_line(
    content: str, said: str, folder: Callable[[str, str], str]
) -> None:
    (line,) = faults("--config-dir", folder("experiment/mine", content), "experiment=mine")
    assert line.startswith("experiment=mine: ")
    assert said in line


def test_an_option_of_an_own_folder_is_checked_like_any_other(
    folder: Callable[[str, str], str],
) -> None:
    text = "defaults:\n  - /schema/compressor/token@_here_\n  - _self_\nprune: false\n"
    more = folder("compressor/mine", text)
    (point,) = collect(["--config-dir", more, "compressor=mine"])
    assert not point.config.compressor.uses_keep_ratio
    found = faults("--config-dir", more, "compressor=mine", "compressor.energy=l3", "needles=5")
    assert sorted(line.split(":")[0] for line in found) == ["compressor.energy", "needles"]


def test_composing_and_checking_import_nothing_heavy(composed: Callable[..., RunConfig]) -> None:
    cfg = composed()
    script = (
        "import sys; from freqexp.composing.compose import collect;"
        "import freqexp.running.sweep, freqexp.results.record;"
        "from freqexp.config.identity import run_id;"
        f"points = collect(['-m', 'compressor=none,token', 'model.path={cfg.model.path}']);"
        "[run_id(point.config) for point in points];"
        "heavy = {'torch', 'transformers', 'wandb', 'scipy', 'pandas', 'PIL'} & set(sys.modules);"
        "assert len(points) == 2 and not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize("flag", ["--experimental-rerun", "--exp"])
def test_a_pickled_configuration_is_not_loaded(flag: str, tmp_path: Path) -> None:
    """It would run whatever it holds."""

    class Payload:
        def __reduce__(self) -> object:
            return Path.touch, (tmp_path / "proof",)

    (tmp_path / "config.pickle").write_bytes(pickle.dumps(Payload()))
    for given in ([flag, f"{tmp_path}/config.pickle"], [f"{flag}={tmp_path}/config.pickle"]):
        with pytest.raises(ConfigError, match=r"python -m freqexp\.reproduce RUN"):
            collect(given)
    assert not (tmp_path / "proof").exists()
