"""Eviction whose tokens are quantised besides: `bits` of every method that evicts."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from freqexp.composing.compose import compose
from freqexp.errors import ConfigError
from freqexp.kv.evict import Eviction
from freqexp.kv.kv_random import KVRandom
from freqexp.kv.packing import dequantise, quantise
from freqexp.nouns.cache import LayerCache, StoredLayer
from freqexp.schemas.kv import KVRandomConfig

HEADS, CHANNELS, TOKENS = 2, 48, 300
TEXT = [*range(10), *range(290, 300)]
# Of 280 vision tokens half stay: 4 groups of 32 keys are codes, 12 wait; of values the last 32.
KEPT, CODED_KEYS, CODED_VALUES = 140, 128, 108


def layer(dtype: torch.dtype = torch.float32) -> LayerCache:
    generator = torch.Generator().manual_seed(0)
    keys, values = torch.randn(2, HEADS, TOKENS, CHANNELS, generator=generator).to(dtype)
    vision = torch.ones(TOKENS, dtype=torch.bool)
    vision[TEXT] = False
    return LayerCache(keys, values, vision, number=3)


def compressed(given: LayerCache, **settings: object) -> StoredLayer:
    return KVRandom(Eviction(0.5, **settings), seed=7).compress(given)  # type: ignore[arg-type]


def drawn(given: LayerCache) -> list[list[int]]:
    """Places of the vision tokens with the largest noise, of each head."""
    random = np.random.Generator(np.random.PCG64([7, 3, TOKENS]))
    noise = random.random((HEADS, TOKENS))
    places = [place for place in range(TOKENS) if bool(given.vision[place])]
    chosen = [sorted(places, key=lambda place: -row[place])[:KEPT] for row in noise]
    return [sorted(row) for row in chosen]


def coded_keys(numbers: Tensor, bits: int) -> Tensor:
    """What is read of one head's keys [KEPT, CHANNELS]: each channel's runs of 32 tokens."""
    found = numbers.clone()
    for channel, start in itertools.product(range(CHANNELS), range(0, CODED_KEYS, 32)):
        group = numbers[start : start + 32, channel]
        found[start : start + 32, channel] = dequantise(
            quantise(group, 32, bits), bits, group.dtype
        )
    return found


def coded_values(numbers: Tensor, bits: int) -> Tensor:
    """The same of values: each token's 2 runs of 24 channels."""
    found = numbers.clone()
    for token, start in itertools.product(range(CODED_VALUES), (0, 24)):
        group = numbers[token, start : start + 24]
        found[token, start : start + 24] = dequantise(quantise(group, 24, bits), bits, group.dtype)
    return found


def check_kept(given: LayerCache, read: tuple[Tensor, Tensor], bits: int) -> None:
    """That the first tokens read are those that stay, quantised."""
    for head, places in enumerate(drawn(given)):
        keys, values = given.keys[head, places], given.values[head, places]
        assert torch.equal(read[0][head, :KEPT], coded_keys(keys, bits))
        assert torch.equal(read[1][head, :KEPT], coded_values(values, bits))


@pytest.mark.parametrize("bits", [2, 8])
def test_tokens_that_stay_are_quantised_and_text_is_exact(bits: int) -> None:
    given = layer()
    stored = compressed(given, scope="vision", bits=bits)
    read = stored.read()
    assert stored.tokens == read[0].shape[1] == KEPT + len(TEXT)
    check_kept(given, read, bits)
    assert torch.equal(read[0][:, KEPT:], given.keys[:, TEXT])
    assert torch.equal(read[1][:, KEPT:], given.values[:, TEXT])


def test_new_tokens_join_the_text() -> None:
    given = layer()
    stored = compressed(given, scope="vision", bits=4)
    more = torch.randn(2, HEADS, 70, CHANNELS)
    stored.append(more[0], more[1])
    read = stored.read()
    check_kept(given, read, 4)
    assert torch.equal(read[0][:, KEPT:], torch.cat([given.keys[:, TEXT], more[0]], dim=1))
    assert torch.equal(read[1][:, KEPT:], torch.cat([given.values[:, TEXT], more[1]], dim=1))


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_bytes_are_the_hand_sum(bits: int, dtype: torch.dtype) -> None:
    stored = compressed(layer(dtype), scope="vision", bits=bits)
    groups = CODED_KEYS // 32 * CHANNELS + CODED_VALUES * 2
    expected = {
        "codes": HEADS * (CODED_KEYS + CODED_VALUES) * CHANNELS * bits // 8,
        "scales": HEADS * groups * 2,
        "zeros": HEADS * groups * 2,
        "window": HEADS * (12 + 32) * CHANNELS * dtype.itemsize,
        "exact": 2 * HEADS * len(TEXT) * CHANNELS * dtype.itemsize,
    }
    found = {
        name: sum(part.untyped_storage().nbytes() for part in parts)
        for name, parts in stored.tensors().items()
    }
    assert found == expected


def test_the_same_tokens_stay_with_and_without_bits() -> None:
    given = layer()
    plain = compressed(given, scope="vision").read()[0]
    coded = compressed(given, scope="vision", bits=8).read()[0]
    for head, places in enumerate(drawn(given)):
        order = sorted([*places, *TEXT])
        assert torch.equal(plain[head], given.keys[head, order])
        there = torch.tensor([order.index(place) for place in [*places, *TEXT]])
        assert float((coded[head] - plain[head, there]).abs().max()) < 0.02


def test_at_one_all_tokens_stay_and_are_quantised() -> None:
    given = layer()
    method = KVRandom(Eviction(1.0, bits=8))
    stored = method.compress(given)
    assert not method.simulated
    assert stored.tokens == TOKENS
    assert 0 < float((stored.read()[0] - given.keys).abs().max()) < 0.02


def test_bits_that_are_not_offered() -> None:
    with pytest.raises(ConfigError, match="bits: got 3, allowed: 2, 4, 8"):
        KVRandom(Eviction(0.5, bits=3))
    found = KVRandomConfig(bits=3).check("compressor")
    assert found == ["compressor.bits: got 3, allowed: 2, 4, 8, or null"]


def test_the_option_hands_its_bits_on() -> None:
    composed = compose(
        (
            "compressor=kv_random",
            "compressor.bits=4",
            "compressor.scope=vision",
            "compressor.seed=7",
        )
    ).compressor
    assert isinstance(composed, KVRandomConfig)
    built = composed.build(0.5, compose(()).profile)
    given = layer()
    expected = compressed(given, scope="vision", bits=4).read()
    assert torch.equal(built.compress(given).read()[0], expected[0])
