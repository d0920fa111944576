"""Quantised caches as an option: settings, scope, and what they take beside exact ones."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from freqexp.composing.compose import compose
from freqexp.errors import ConfigError, UserError
from freqexp.kv.kivi import Kivi
from freqexp.kv.quantised import Quantised
from freqexp.nouns.cache import LayerCache, StoredLayer
from freqexp.schemas.kv_codes import KiviConfig


def layer(
    tokens: int = 90, pages: range = range(5, 80), channels: int = 16, heads: int = 2
) -> LayerCache:
    generator = torch.Generator().manual_seed(tokens)
    keys, values = torch.randn(2, heads, tokens, channels, generator=generator)
    vision = torch.zeros(tokens, dtype=torch.bool)
    vision[pages.start : pages.stop] = True
    return LayerCache(keys.bfloat16(), values.bfloat16(), vision)


def held_bytes(stored: StoredLayer) -> int:
    return sum(part.nbytes for parts in stored.tensors().values() for part in parts)


def same(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> bool:
    return torch.equal(one[0], other[0]) and torch.equal(one[1], other[1])


@pytest.mark.parametrize("values", ["token", "channel"])
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_all_tokens_are_a_quantised_cache(bits: int, values: str) -> None:
    given = layer()
    stored = Kivi(bits, 8, 16, values).compress(given)
    expected = Quantised(given.keys, given.values, bits, 8, 16, values == "channel")
    assert stored.tokens == 90
    assert same(stored.read(), expected.read())
    more = layer(3)
    stored.append(more.keys, more.values)
    expected.append(more.keys, more.values)
    assert same(stored.read(), expected.read())


def test_of_scope_vision_text_and_new_tokens_stay_as_they_are() -> None:
    given, more = layer(), layer(40)
    stored = Kivi(2, 8, 16, scope="vision").compress(given)
    stored.append(more.keys, more.values)
    pages = Quantised(given.keys[:, 5:80], given.values[:, 5:80], 2, 8, 16)
    keys, values = stored.read()
    assert stored.tokens == keys.shape[1] == 130
    assert same((keys[:, :75], values[:, :75]), pages.read())
    for got, name in ((keys, "keys"), (values, "values")):
        whole = getattr(given, name)
        expected = torch.cat([whole[:, :5], whole[:, 80:], getattr(more, name)], dim=1)
        assert torch.equal(got[:, 75:], expected)
    exact = 2 * 2 * (15 + 40) * 16 * 2
    assert sum(part.nbytes for part in stored.tensors()["exact"]) == exact
    assert held_bytes(stored) == exact + held_bytes(pages)


def test_scope_vision_of_pages_alone_and_of_none() -> None:
    given = layer(75, range(75))
    stored = Kivi(4, 8, 16, scope="vision").compress(given)
    assert same(stored.read(), Kivi(4, 8, 16).compress(given).read())
    with pytest.raises(UserError, match=r"compressor.scope: got 'vision', allowed: all"):
        Kivi(4, scope="vision").compress(layer(75, range(0)))


def test_more_bits_take_more_and_are_closer() -> None:
    given = layer(512, range(512), 128)
    stored = [Kivi(bits).compress(given) for bits in (2, 4, 8)]
    sizes = [held_bytes(each) for each in stored]
    errors = [float((each.read()[0] - given.keys).float().norm()) for each in stored]
    assert sizes == sorted(sizes)
    assert errors[0] > 3 * errors[1] > 9 * errors[2]


def test_four_bits_take_36_percent_of_a_long_bfloat16_cache() -> None:
    """Each number 4 bits and two bfloat16 for 32: 5 of 16 bits, and 32 values that wait."""
    given = layer(8192, range(8192), 128)
    whole = given.keys.nbytes + given.values.nbytes
    codes = whole * 5 // 16
    waiting = 2 * 32 * 128
    assert held_bytes(Kivi(4).compress(given)) == codes + waiting * 2 - waiting * 5 // 8
    assert held_bytes(Kivi(4).compress(given)) <= 0.36 * whole


def test_every_bad_setting_is_named() -> None:
    with pytest.raises(ConfigError) as caught:
        Kivi(3, None, 16, "row", "page")
    assert [line.split(":")[0] for line in caught.value.faults] == [
        "bits",
        "residual",
        "values",
        "scope",
    ]


def test_the_option_builds_what_its_settings_say() -> None:
    composed = compose(
        ("compressor=kivi", "compressor.bits=2", "compressor.values=channel", "compressor.group=8")
    ).compressor
    assert isinstance(composed, KiviConfig)
    assert composed.check("compressor") == []
    assert not composed.uses_keep_ratio
    assert not composed.uses_keep_tokens
    built = composed.build(0.5, compose(()).profile)
    given = layer()
    assert same(built.compress(given).read(), Kivi(2, 8, 32, "channel").compress(given).read())


@pytest.mark.parametrize(
    ("settings", "faults"),
    [
        (
            {"bits": 3, "residual": 16},
            [
                "compressor.bits: got 3, allowed: 2, 4, 8",
                "compressor.residual: got 16, allowed: 0 or a multiple of the group of 32",
            ],
        ),
        (
            {"bits": 2, "group": 6, "residual": 12},
            ["compressor.group: got 6, allowed: null, or 1 or more that fill whole bytes"],
        ),
        ({"group": 0}, ["compressor.group: got 0, allowed: null, or 1 or more that fill whole"]),
        (
            {"group": 16, "residual": -16},
            ["compressor.residual: got -16, allowed: 0 or a multiple"],
        ),
        ({"residual": 0}, []),
    ],
)
def test_the_option_names_every_bad_setting(settings: dict[str, int], faults: list[str]) -> None:
    found = KiviConfig(**settings).check("compressor")  # type: ignore[arg-type]
    assert len(found) == len(faults)
    assert all(line.startswith(start) for line, start in zip(found, faults, strict=True))
