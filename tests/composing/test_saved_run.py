"""`--config-path outputs/runs/ID --config-name config`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from freqexp.composing.compose import collect, compose
from freqexp.config.run import RunConfig
from freqexp.config.saved import to_yaml
from freqexp.errors import ConfigError


def saved(folder: Path, *overrides: str) -> tuple[RunConfig, list[str]]:
    """A run saved as a command saves it, and the flags that name it."""
    cfg = compose(overrides)
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_text(to_yaml(replace(cfg, sweep_name="old", output_dir="old")))
    return cfg, ["--config-path", str(folder), "--config-name", "config"]


@pytest.mark.parametrize(
    "overrides",
    [
        ("compressor=token", "profile=mild", "keep_ratio=0.3", "needles=4", "samples=9"),
        ("compressor=combined", "codec=jpeg", "token=none", "kv=kivi", "render=glyph"),
        ("model.batch_size=3", "compressor=none", "baseline=false"),
    ],
    ids=lambda overrides: overrides[0],
)
def test_it_is_the_same_run_computed_here(overrides: tuple[str, ...], tmp_path: Path) -> None:
    cfg, flags = saved(tmp_path, *overrides, "cluster=slurm", "tags=[x]")
    (point,) = collect(flags)
    assert point.config == replace(cfg, cluster=compose().cluster, tags=[])


def test_overrides_change_values_and_options(tmp_path: Path) -> None:
    _, flags = saved(tmp_path, "compressor=token", "compressor.energy=l1", "samples=9")
    points = collect(["-m", *flags, "keep_ratio=0.1,0.2", "cluster=a100x4"])
    assert [point.config.keep_ratio for point in points] == [0.1, 0.2]
    assert {point.config.cluster.name for point in points} == {"a100x4"}
    other = collect(["-m", *flags, "compressor=token,jpeg"])
    assert [point.config.compressor.name for point in other] == ["token", "jpeg"]
    assert {point.config.samples for point in other} == {9}


def test_it_can_be_printed_and_named_relative_to_where_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    saved(tmp_path / "run", "seed=5")
    monkeypatch.chdir(tmp_path)
    flags = ["--config-path", "run", "--config-name", "config"]
    assert collect([*flags, "--cfg", "job", "-p", "seed"]) == []
    assert capsys.readouterr().out == "5\n"
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_what_is_no_run_is_one_line(tmp_path: Path) -> None:
    _, flags = saved(tmp_path, "seed=5")
    for wrong, said in (
        (["--config-path", str(tmp_path / "nowhere")], "nowhere/config.yaml: No such file"),
        ([*flags, "keep_ratio=7"], "keep_ratio: got 7.0, allowed"),
        ([*flags, "foo=7"], "foo: no such key"),
        ([*flags, "needles=3"], "needles: got '3', allowed: 2, 4, 8, hard"),
    ):
        with pytest.raises(ConfigError) as caught:
            collect(wrong)
        assert said in str(caught.value)
        assert len(caught.value.faults) == 1
    (tmp_path / "config.yaml").write_text("a: 1\n")
    with pytest.raises(ConfigError, match="is no run"):
        collect(flags)
