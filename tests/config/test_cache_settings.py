"""What a configuration with a method on the KV cache says, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from freqexp.composing.compose import collect, compose
from freqexp.config.budget import Budget, acting_budget
from freqexp.config.check import check
from freqexp.config.identity import identity
from freqexp.errors import UserError
from freqexp.schemas.choices import COMPRESSES_CACHE, SHOWS_LAYERS, Family
from freqexp.schemas.compressor import COMPRESSORS
from freqexp.schemas.kv import KVConfig
from freqexp.schemas.section import option_name

OPTIONS = sorted(option_name(option) for option in COMPRESSORS if issubclass(option, KVConfig))
COMBINED = "compressor=combined"


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (("compressor=snapkv",), Budget(0.5)),
        (("compressor=snapkv", "keep_tokens=64"), Budget(None, 64)),
        (("compressor=snapkv", "keep_like=blank_prune"), Budget(0.5)),
        (("compressor=kivi", "keep_tokens=64"), Budget()),
        (("compressor=low_rank", "keep_tokens=64"), Budget(0.5)),
        ((COMBINED, "codec=none", "token=pool", "kv=snapkv", "keep_tokens=9"), Budget(0.5, 9)),
        ((COMBINED, "codec=none", "token=blank_prune", "kv=snapkv", "keep_tokens=9"),
         Budget(None, 9)),
        ((COMBINED, "codec=png", "token=blank_prune", "kv=kivi"), Budget()),
        ((COMBINED, "codec=none", "token=none", "kv=keydiff"), Budget(0.5)),
        ((COMBINED, "codec=none", "token=none", "kv=keydiff", "compressor.kv_keep_ratio=0.2"),
         Budget(0.2)),
    ],
)  # fmt: skip
def test_which_budget_acts(overrides: tuple[str, ...], expected: Budget) -> None:
    assert acting_budget(compose(overrides)) == expected


def test_a_combination_has_its_draws_and_its_title() -> None:
    overrides = [COMBINED, "codec=none", "token=blank_prune", "kv=kv_random"]
    cfg, *others = [point.config for point in collect(["-m", *overrides])]
    drawn = [cfg.compressor, *(other.compressor for other in others)]
    assert [getattr(each, "kv").seed for each in drawn] == [0, 1, 2]  # noqa: B009
    assert cfg.compressor.title == "blank_prune+kv_random"
    assert [part.config.stage for part in cfg.compressor.parts(0.5)] == ["token", "kv"]
    assert "seeds" not in identity(cfg)["compressor"]["kv"]


def faults_of(name: str, family: Family, **changes: Any) -> list[str]:
    cfg = compose((f"compressor={name}",))
    # A folder that exists, so that the path is no fault.
    path = None if family is Family.ppocr else str(Path(__file__).parent)
    model = replace(cfg.model, family=family, path=path)
    method = replace(cfg.compressor, **changes)
    found = check(replace(cfg, model=model, compressor=method))
    return [line for line in found if "KV cache" in line]


@pytest.mark.parametrize("family", list(Family))
@pytest.mark.parametrize("name", OPTIONS)
def test_families_are_refused_by_name(name: str, family: Family) -> None:
    config = compose((f"compressor={name}",)).compressor
    assert isinstance(config, KVConfig)
    inside = bool(config.queries or config.layer_budgets or config.library)
    able = SHOWS_LAYERS if inside else COMPRESSES_CACHE
    found = faults_of(name, family)
    assert bool(found) == (family not in able)
    for line in found:
        said = f"model.family: got '{family.value} with compressor {name} on the KV cache'"
        assert line.startswith(f"{said}, allowed: ")
        assert "glm4v" in line
    assert (name in ("snapkv", "fp8")) == inside


def test_layer_budgets_need_layers_of_their_own() -> None:
    from freqexp.schemas.choices import LayerShares

    assert not faults_of("dct_outlier", Family.glm4v_remote)
    assert faults_of("dct_outlier", Family.glm4v_remote, layers=LayerShares.energy)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("compressor=kivi", "compressor.bits=3"), "compressor.bits: got 3, allowed: 2, 4, 8"),
        (("compressor=snapkv", "compressor.bits=5"), "compressor.bits: got 5, allowed: 2, 4, 8"),
        (("compressor=kivi", "compressor.residual=20"), "compressor.residual: got 20, allowed"),
        (("compressor=snapkv", "compressor.window=0"), "compressor.window: got 0, allowed"),
        (("compressor=snapkv", "compressor.kernel=4"), "compressor.kernel: got 4, allowed"),
        (("compressor=fp8", "compressor.scope=vision"), "compressor.scope: got 'vision', allowed"),
        (("compressor=kv_random", "compressor.seeds=0"), "compressor.seeds: got 0, allowed"),
        ((COMBINED, "kv=token"), "compressor.kv: got 'token', allowed: "),
        ((COMBINED, "kv=kivi", "compressor.kv_keep_ratio=0.5"),
         "compressor.kv_keep_ratio: got 0.5, allowed: null"),
    ],
)  # fmt: skip
def test_bad_settings_have_one_clear_line(overrides: tuple[str, ...], said: str) -> None:
    with pytest.raises(UserError) as caught:
        compose(overrides)
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_seen_and_unseen_are_different_runs() -> None:
    seen = identity(compose(("compressor=keydiff", "compressor.question=seen")))
    assert seen != identity(compose(("compressor=keydiff",)))
