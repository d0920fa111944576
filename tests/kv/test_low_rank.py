"""Keys and values as coefficients, against numpy's singular values."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from freqexp.composing.compose import compose
from freqexp.errors import BudgetError, ConfigError
from freqexp.kv.low_rank import LowRank
from freqexp.nouns.cache import CACHE_COMPONENTS, LayerCache, StoredLayer
from freqexp.schemas.kv_codes import LowRankConfig

HEADS, CHANNELS = 2, 16


def layer(
    tokens: int = 90, dtype: torch.dtype = torch.float64, pages: slice = slice(5, 80)
) -> LayerCache:
    """Channels of falling variance in a turned frame, around a mean."""
    rng = np.random.default_rng(tokens)
    frame = np.linalg.qr(rng.normal(size=(CHANNELS, CHANNELS)))[0]
    noise = rng.normal(size=(2, HEADS, tokens, CHANNELS)) * 0.8 ** np.arange(CHANNELS)
    keys, values = torch.from_numpy(noise @ frame + rng.normal(size=CHANNELS)).to(dtype)
    vision = torch.zeros(tokens, dtype=torch.bool)
    vision[pages] = True
    return LayerCache(keys, values, vision)


def sizes(stored: StoredLayer) -> dict[str, int]:
    return {
        name: sum(part.untyped_storage().nbytes() for part in parts)
        for name, parts in stored.tensors().items()
    }


def tail(numbers: Tensor, rank: int) -> float:
    """Norm of the singular values after the first `rank` of centred [tokens, channels]."""
    matrix = numbers.numpy()
    values = np.linalg.svd(matrix - matrix.mean(axis=0), compute_uv=False)
    return float(np.sqrt((values[rank:] ** 2).sum()))


def largest_rank(keep_ratio: float, tokens: int) -> int:
    """By trying them."""
    fits = [
        rank
        for rank in range(1, CHANNELS + 1)
        if rank * tokens + rank * CHANNELS + CHANNELS <= keep_ratio * tokens * CHANNELS
    ]
    return max(fits)


@pytest.mark.parametrize("keep_ratio", [0.12, 0.3, 0.5, 0.84, 0.99])
@pytest.mark.parametrize("tokens", [90, 600])
def test_what_is_lost_are_the_smallest_singular_values(keep_ratio: float, tokens: int) -> None:
    """Eckart and Young: no matrix of that rank is closer."""
    given, rank = layer(tokens), largest_rank(keep_ratio, tokens)
    read = LowRank(keep_ratio).compress(given).read()
    for got, whole in zip(read, (given.keys, given.values), strict=True):
        for head in range(HEADS):
            lost = float((got[head] - whole[head]).norm())
            assert lost == pytest.approx(tail(whole[head], rank), rel=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("keep_ratio", [0.12, 0.5, 0.99])
def test_bytes_are_the_hand_sum(keep_ratio: float, dtype: torch.dtype) -> None:
    given, rank = layer(90, dtype), largest_rank(keep_ratio, 90)
    stored = LowRank(keep_ratio).compress(given)
    assert sizes(stored) == {
        "codes": 2 * HEADS * 90 * rank * dtype.itemsize,
        "basis": 2 * HEADS * (rank * CHANNELS + CHANNELS) * dtype.itemsize,
        "window": 0,
    }
    assert set(stored.tensors()) <= set(CACHE_COMPONENTS)
    whole = given.keys.nbytes + given.values.nbytes
    assert sum(sizes(stored).values()) <= keep_ratio * whole
    assert stored.read()[0].dtype == dtype


def test_bfloat16_is_nearly_as_close_as_float64() -> None:
    exact, rounded = layer(600), layer(600, torch.bfloat16)
    read = LowRank(0.5).compress(rounded).read()[0]
    lost = float((read.double() - exact.keys).norm())
    rounding = float((rounded.keys.double() - exact.keys).norm())
    best = float((LowRank(0.5).compress(exact).read()[0] - exact.keys).norm())
    assert lost <= best + 3 * rounding


def test_new_tokens_are_read_as_they_are() -> None:
    given, more = layer(), layer(7)
    stored = LowRank(0.5).compress(given)
    before = [part.clone() for part in stored.read()]
    for number in range(7):
        stored.append(more.keys[:, number : number + 1], more.values[:, number : number + 1])
    for got, old, new in zip(stored.read(), before, (more.keys, more.values), strict=True):
        assert torch.equal(got, torch.cat([old, new], dim=1))
    assert stored.tokens == 97
    assert sizes(stored)["window"] == 2 * HEADS * 7 * CHANNELS * 8


def test_of_scope_vision_text_stays_as_it_is() -> None:
    given, more = layer(), layer(4)
    stored = LowRank(0.5, "vision").compress(given)
    stored.append(more.keys, more.values)
    pages = LayerCache(given.keys[:, 5:80], given.values[:, 5:80], given.vision[5:80])
    alone = LowRank(0.5).compress(pages)
    text = [*range(5), *range(80, 90)]
    for number, name in enumerate(("keys", "values")):
        got, whole = stored.read()[number], getattr(given, name)
        assert torch.equal(got[:, :75], alone.read()[number])
        assert torch.equal(got[:, 75:90], whole[:, text])
        assert torch.equal(got[:, 90:], getattr(more, name))
    expected = {**sizes(alone), "exact": 2 * HEADS * 19 * CHANNELS * 8}
    assert sizes(stored) == expected


@pytest.mark.parametrize("scope", ["all", "vision"])
def test_at_one_everything_stays_as_it_is(scope: str) -> None:
    given = layer(dtype=torch.bfloat16)
    method = LowRank(1.0, scope)
    stored = method.compress(given)
    assert method.simulated
    assert torch.equal(stored.read()[0], given.keys)
    assert torch.equal(stored.read()[1], given.values)
    assert sizes(stored) == {"exact": given.keys.nbytes + given.values.nbytes}


def test_a_request_is_the_same_in_a_batch() -> None:
    """Where its keys are rows of a larger tensor, with padding before them."""
    given = layer(90, torch.float32)
    batch = torch.randn(3, HEADS, 120, CHANNELS)
    batch[1, :, 30:] = given.keys
    there = LayerCache(batch[1, :, -90:], given.values, given.vision)
    one, other = (LowRank(0.4).compress(each) for each in (given, there))
    assert torch.equal(one.read()[0], other.read()[0])
    assert sizes(one) == sizes(other)


def test_heads_have_nothing_to_do_with_each_other() -> None:
    given = layer()
    both = LowRank(0.4).compress(given).read()
    for head in range(HEADS):
        one = slice(head, head + 1)
        alone = LowRank(0.4).compress(LayerCache(given.keys[one], given.values[one], given.vision))
        torch.testing.assert_close(alone.read()[0], both[0][one], rtol=1e-12, atol=1e-12)


def test_equal_tokens_and_a_turned_sign() -> None:
    given = layer()
    flat = LayerCache(torch.full_like(given.keys, 2.5), given.values, given.vision)
    assert torch.equal(LowRank(0.3).compress(flat).read()[0], flat.keys)
    turned = LayerCache(-given.keys, given.values, given.vision)
    plus, minus = (LowRank(0.3).compress(each).tensors()["basis"][0] for each in (given, turned))
    torch.testing.assert_close(plus, minus, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("tokens", [40, 90, 600])
def test_too_small_a_share_names_the_smallest(tokens: int) -> None:
    given = layer(tokens, pages=slice(0, 5))
    with pytest.raises(BudgetError) as caught:
        LowRank(0.01).compress(given)
    words = str(caught.value)
    assert words.startswith("keep_ratio: got 0.01, allowed: 0.")
    assert words.endswith(f" or more for {tokens} tokens of 16 channels")
    least = float(words.split("allowed: ")[1].split()[0])
    LowRank(least).compress(given)
    with pytest.raises(BudgetError):
        LowRank(least - 2e-4).compress(given)


def test_a_prompt_shorter_than_a_basis_can_only_stay() -> None:
    given = layer(2, pages=slice(0, 1))
    with pytest.raises(BudgetError, match=r"got 0\.9, allowed: 1 for 2 tokens of 16 channels"):
        LowRank(0.9).compress(given)
    assert torch.equal(LowRank(1.0).compress(given).read()[0], given.keys)


def test_every_bad_setting_is_named() -> None:
    with pytest.raises(ConfigError) as caught:
        LowRank(0, "page")
    assert [line.split(":")[0] for line in caught.value.faults] == ["keep_ratio", "scope"]


def test_the_option_is_of_a_share_and_of_no_count_of_tokens() -> None:
    composed = compose(("compressor=low_rank", "compressor.scope=vision")).compressor
    assert isinstance(composed, LowRankConfig)
    assert composed.uses_keep_ratio
    assert not composed.uses_keep_tokens
    built = composed.build(0.5, compose(()).profile)
    given = layer()
    expected = LowRank(0.5, "vision").compress(given).read()
    assert torch.equal(built.compress(given).read()[0], expected[0])
