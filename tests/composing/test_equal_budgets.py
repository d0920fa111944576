from __future__ import annotations

from dataclasses import replace

import pytest

from freqexp.composing.compose import collect, compose
from freqexp.config.budget import acting_budget
from freqexp.config.check import check
from freqexp.config.identity import identity
from freqexp.config.run import RunConfig
from freqexp.errors import ConfigError
from freqexp.schemas.choices import Family


def run(*overrides: str) -> RunConfig:
    return compose(overrides)


def test_a_count_replaces_the_keep_ratio_where_tokens_are_counted() -> None:
    cfg = run("compressor=pool", "keep_tokens=72")
    assert acting_budget(cfg).words() == "72 tokens"
    assert identity(cfg)["keep_tokens"] == 72
    assert identity(cfg) == identity(run("compressor=pool", "keep_tokens=72", "keep_ratio=0.3"))
    assert identity(cfg) != identity(run("compressor=pool", "keep_tokens=43"))


@pytest.mark.parametrize("name", ["none", "jpeg", "pixel_prune"])
def test_what_does_not_count_tokens_is_the_same_run_with_a_count(name: str) -> None:
    plain = identity(run(f"compressor={name}"))
    assert identity(run(f"compressor={name}", "keep_tokens=72")) == plain
    assert "keep_tokens" not in plain
    assert "keep_like" not in plain


def test_a_codec_beside_counted_tokens_keeps_its_ratio() -> None:
    cfg = run("compressor=combined", "codec=block_dct", "token=pool", "keep_tokens=72")
    assert acting_budget(cfg).words() == "0.5, 72 tokens"
    own = run(
        "compressor=combined", "codec=none", "token=pool", "keep_tokens=72",
        "compressor.token_keep_ratio=0.3",
    )  # fmt: skip
    assert acting_budget(own).words() == "0.3"


@pytest.mark.parametrize(
    ("override", "fault"),
    [
        ("keep_tokens=0", "keep_tokens: got 0, allowed: an integer of 1 or more, or null"),
        ("keep_like=pool", "keep_like: got 'pool', allowed: a method whose count follows"),
    ],
)
def test_bad_budgets_are_refused(override: str, fault: str) -> None:
    with pytest.raises(ConfigError) as caught:
        run("compressor=pool", override)
    (found,) = caught.value.faults
    assert found.startswith(fault)


def test_two_budgets_and_a_model_without_the_signal_are_refused() -> None:
    cfg = run("compressor=pool", "keep_like=pixel_prune")
    (found,) = check(replace(cfg, keep_tokens=3))
    assert found.startswith("keep_like: got 'pixel_prune', allowed: null beside keep_tokens=3")
    faults = check(replace(cfg, model=replace(cfg.model, family=Family.ppocr)))
    assert any("with compressor pixel_prune" in text for text in faults)


def test_a_point_of_random_pruning_is_a_run_for_each_seed() -> None:
    points = collect(["-m", "compressor=random_prune,pool"])
    assert [getattr(p.config.compressor, "seed", None) for p in points] == [0, 1, 2, None]
    assert points[1].overrides[-2:] == ("compressor.seed=1", "compressor.seeds=1")
    (alone,) = collect(["compressor=random_prune", "compressor.seed=1", "compressor.seeds=1"])
    assert identity(alone.config) == identity(points[1].config)
    assert alone.config == points[1].config
    mixed = collect(["compressor=combined", "codec=png", "token=random_prune"])
    assert [p.config.compressor.token.seed for p in mixed] == [0, 1, 2]  # type: ignore[attr-defined]
    assert len({repr(identity(p.config)) for p in mixed}) == 3


def test_seeds_are_in_range() -> None:
    with pytest.raises(ConfigError, match=r"compressor\.seeds"):
        run("compressor=random_prune", "compressor.seeds=0")
