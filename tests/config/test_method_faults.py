"""What token methods refuse when the configuration is checked: values, and models that can't."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from freqexp.composing.compose import compose
from freqexp.config.check import check
from freqexp.config.run import RunConfig
from freqexp.errors import ConfigError
from freqexp.schemas.choices import DROPS_BEFORE_ENCODER, SIGNALS, Family, Where
from freqexp.schemas.compressor import COMPRESSORS
from freqexp.schemas.page_methods import PixelPruneConfig
from freqexp.schemas.section import option_name


@cache
def with_method(name: str) -> RunConfig:
    return compose((f"compressor={name}",))


METHODS = [option_name(option) for option in COMPRESSORS if option.stage == "token"]
SIGNALLED = [name for name in METHODS if with_method(name).compressor.signals]


def faults_of(cfg: RunConfig, family: Family) -> list[str]:
    """Of the method with a family, not of the family with its other settings."""
    model = replace(
        cfg.model,
        family=family,
        path=None if family is Family.ppocr else str(Path(__file__).parent),
        trust_remote_code=family is Family.glm4v_remote,
    )
    return [fault for fault in check(replace(cfg, model=model)) if "with compressor" in fault]


@pytest.mark.parametrize("name", SIGNALLED)
@pytest.mark.parametrize("family", Family)
def test_a_signal_the_model_cannot_give_is_refused(name: str, family: Family) -> None:
    cfg = with_method(name)
    missing = [signal for signal in cfg.compressor.signals if signal not in SIGNALS[family]]
    expected = [
        f"model.family: got '{family.value} with compressor {name}', allowed: families that give "
        + " and ".join(missing)
    ] * bool(missing)
    assert [fault.split(":")[:3] for fault in faults_of(cfg, family)] == [
        text.split(":")[:3] for text in expected
    ]


def test_some_signals_are_refused_somewhere() -> None:
    assert {"pixel_prune", "vispruner", "scope", "tome", "cdprune"} <= set(SIGNALLED)
    assert faults_of(with_method("cdprune"), Family.ppocr)
    assert faults_of(with_method("tome"), Family.glm4v_remote)


@pytest.mark.parametrize("family", Family)
def test_an_encoder_that_takes_whole_pages_alone_is_refused(family: Family) -> None:
    cfg = with_method("pixel_prune")
    assert isinstance(cfg.compressor, PixelPruneConfig)
    before = replace(cfg, compressor=replace(cfg.compressor, where=Where.encoder))
    assert bool(faults_of(before, family)) == (family not in DROPS_BEFORE_ENCODER)
    if family not in DROPS_BEFORE_ENCODER and SIGNALS[family]:
        (fault,) = faults_of(before, family)
        assert f"{family.value} with compressor pixel_prune before the encoder" in fault


def test_more_than_half_in_one_merge() -> None:
    with pytest.raises(ConfigError) as caught:
        compose(("compressor=tome", "compressor.steps=1", "keep_ratio=0.3"))
    wanted = "keep_ratio: got 0.3, allowed: 0.5 or more with steps=1 (at most half go in one)"
    assert list(caught.value.faults) == [wanted]
    assert compose(("compressor=tome", "compressor.steps=2", "keep_ratio=0.3"))
    assert compose(("compressor=tome", "compressor.steps=1", "keep_ratio=0.3", "keep_tokens=72"))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("pixel_prune", "threshold=256"), "threshold: got 256, allowed: gray levels from 0"),
        (("pixel_prune", "threshold=-1"), "threshold: got -1"),
        (("pixel_prune", "where=head"), "where: got 'head', allowed: decoder, encoder"),
        (("scope", "alpha=-0.5"), "alpha: got -0.5, allowed: 0 or more"),
        (("vispruner", "important=1.5"), "important: got 1.5, allowed: 0 to 1"),
        (("tome", "steps=0"), "steps: got 0, allowed: 1 or more, or null"),
        (("tome", "metric=values"), "metric: got 'values', allowed: keys, features"),
        (("norm_prune", "keep=all"), "keep: got 'all', allowed: largest, smallest"),
        (("fastv", "layer=0"), "layer: got 0, allowed: 1 or more"),
        (("fastv", "layer=99"), "layer: got 99, allowed: 1 to "),
        (("dart", "layer=-1"), "layer: got -1, allowed: 1 or more"),
    ],
)
def test_values_outside_their_ranges(overrides: tuple[str, str], message: str) -> None:
    method, setting = overrides
    with pytest.raises(ConfigError) as caught:
        compose((f"compressor={method}", f"compressor.{setting}"))
    (fault,) = caught.value.faults
    assert fault.startswith(f"compressor.{message}")
