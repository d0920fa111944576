"""Settings of a machine, without a flag."""

from __future__ import annotations

from pathlib import Path

import pytest

from freqexp.composing.compose import collect, compose
from freqexp.errors import ConfigError


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """conf/local of the working directory."""
    folder = tmp_path / "conf" / "local"
    (folder / "cluster").mkdir(parents=True)
    (folder / "cluster" / "ours.yaml").write_text("defaults: [slurm, _self_]\nname: ours\nqos: q\n")
    (folder / "local.yaml").write_text("cluster: {partition: gpu}\nencodings_cache_gb: 3\n")
    monkeypatch.delenv("FREQEXP_CONFIG_DIR", raising=False)
    monkeypatch.chdir(tmp_path)
    return folder


def test_its_values_hold_for_every_run_and_its_options_can_be_chosen(local: Path) -> None:
    cfg = compose()
    assert (cfg.cluster.name, cfg.cluster.partition, cfg.encodings_cache_gb) == ("local", "gpu", 3)
    points = collect(["-m", "cluster=ours", "keep_ratio=0.3,0.5", "encodings_cache_gb=0"])
    for cfg in [point.config for point in points]:
        cluster = cfg.cluster
        assert (cluster.partition, cluster.qos, cluster.executor.value) == ("gpu", "q", "slurm")
        assert cfg.encodings_cache_gb == 0


def test_its_options_come_before_ours_and_below_the_command(local: Path) -> None:
    (local / "compressor").mkdir()
    text = "defaults: [/schema/compressor/token@_here_, _self_]\nprune: false\n"
    (local / "compressor" / "token.yaml").write_text(text)
    (local / "local.yaml").write_text("defaults: [{override /compressor: token}]\nsamples: 3\n")
    assert vars(compose())["samples"] == 3
    assert not compose().compressor.uses_keep_ratio
    assert compose(["compressor=jpeg", "samples=4", "experiment=smoke"]).samples == 4


def test_the_variable_names_another_folder_or_none(
    local: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "local.yaml").write_text("samples: 7\n")
    monkeypatch.setenv("FREQEXP_CONFIG_DIR", str(other))
    assert (compose().samples, compose().cluster.partition) == (7, None)
    monkeypatch.setenv("FREQEXP_CONFIG_DIR", "")
    assert compose().samples == 64
    monkeypatch.setenv("FREQEXP_CONFIG_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match=r"FREQEXP_CONFIG_DIR: got .*nowhere', allowed: a folder"):
        compose()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("cluster: {partion: gpu}", r"local\.yaml: .*Key 'partion' not in 'ClusterConfig'"),
        ("samples: many", r"local\.yaml: .*'many' of type 'str' could not be converted to Integer"),
        ("samples: 0", "samples: got 0, allowed: an integer from 1"),
        ("samples: [", r"local\.yaml: while parsing"),
        ("[1, 2]", r"local\.yaml: got 'ListConfig', allowed: keys with values"),
    ],
)
def test_a_fault_in_it_is_one_line(local: Path, content: str, said: str) -> None:
    (local / "local.yaml").write_text(content)
    for line in ([], ["-m", "seed=1,2"]):
        with pytest.raises(ConfigError, match=said) as caught:
            collect(line)
        assert len(caught.value.faults) == 1


def test_it_may_not_take_the_place_of_all_runs(local: Path) -> None:
    (local / "run.yaml").write_text("samples: 3\n")
    with pytest.raises(ConfigError, match=r"got 'run\.yaml', allowed: local\.yaml"):
        compose()
