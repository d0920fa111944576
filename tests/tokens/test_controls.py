"""The controls among token compressors: random pruning and average pooling."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from freqexp.errors import ConfigError
from freqexp.nouns.vision import VisionTokens
from freqexp.tokens.kept import kept_tokens
from freqexp.tokens.pool import Pool
from freqexp.tokens.random_prune import RandomPrune

GRIDS = [(6, 6), (5, 9), (1, 7), (8, 1)]


def tokens_of(grid: tuple[int, int], seed: int = 0) -> VisionTokens:
    noise = np.random.default_rng(seed).normal(size=(grid[0] * grid[1], 4))
    return VisionTokens(torch.from_numpy(noise).float(), grid)


def test_random_tokens_are_the_encoders_own() -> None:
    tokens = tokens_of((12, 12))
    result = RandomPrune(0.3).compress(tokens)
    assert len(result.kept) == 43
    assert torch.equal(result.features, tokens.features[result.kept])


def test_every_place_is_drawn_equally_often() -> None:
    """Of 400 pages each of 12 places stays in 200 +- 5 standard deviations of 10."""
    counts = torch.zeros(12)
    for page in range(400):
        counts[RandomPrune(0.5).compress(tokens_of((3, 4), page)).kept] += 1
    assert counts.sum() == 400 * 6
    assert bool((abs(counts - 200) < 50).all())


def test_the_draw_depends_on_the_page_and_on_the_seed() -> None:
    page, other = tokens_of((12, 12)), tokens_of((12, 12), seed=1)
    kept = [
        RandomPrune(0.5, seed).compress(tokens).kept.tolist()
        for tokens, seed in ((page, 0), (page, 1), (other, 0))
    ]
    assert kept[0] != kept[1]
    assert kept[0] != kept[2]


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("keep_ratio", [0.1, 0.25, 0.5, 0.9])
def test_pooled_tokens_are_the_means_of_the_nearest(
    grid: tuple[int, int], keep_ratio: float
) -> None:
    tokens = tokens_of(grid)
    result = Pool(keep_ratio).compress(tokens)
    places = [divmod(place, grid[1]) for place in result.kept.tolist()]
    members: list[list[int]] = [[] for _ in places]
    for token in range(grid[0] * grid[1]):
        row, column = divmod(token, grid[1])
        distance = [(row - r) ** 2 + (column - c) ** 2 for r, c in places]
        members[distance.index(min(distance))].append(token)
    expected = torch.stack([tokens.features[group].double().mean(0) for group in members])
    torch.testing.assert_close(result.features.double(), expected, rtol=1e-6, atol=1e-6)


def test_places_are_spread_evenly() -> None:
    """A quarter of 12 x 12 places: none is farther than two steps from a kept one."""
    kept = Pool(0.25).compress(tokens_of((12, 12))).kept
    places = torch.stack([kept // 12, kept % 12], dim=1).double()
    everywhere = torch.cartesian_prod(torch.arange(12), torch.arange(12)).double()
    assert float(torch.cdist(everywhere, places).min(dim=1).values.max()) <= 2


def test_stored_tokens_are_counted_with_their_places() -> None:
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        features = torch.randn(5, 8).to(dtype)
        kept = torch.tensor([0, 3, 4, 7, 11])
        result = kept_tokens(features, kept, (3, 4))
        assert result.stored_bytes == sum(result.components.values())
        assert result.nominal_ratio == 12 / 5
        assert result.stored_bytes > features.numel() * features.element_size() / 2


def test_settings_outside_their_range_are_refused_together() -> None:
    with pytest.raises(ConfigError, match=r"(?s)keep_ratio.*seed"):
        RandomPrune(0.0, -1)
    with pytest.raises(ConfigError, match="keep_ratio"):
        Pool(1.5)
    with pytest.raises(ValueError, match="allowed"):
        Pool().compress(VisionTokens(torch.zeros(5, 2), (2, 3)))
