"""Pruning of vision tokens by their norm."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from freqexp.errors import ConfigError, UserError
from freqexp.nouns.vision import VisionTokens
from freqexp.tokens.norm_prune import NormPrune

GRIDS = [(6, 6), (5, 9), (1, 7), (8, 1), (1, 1)]


@pytest.mark.parametrize("keep", ["largest", "smallest"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_tokens_stay_by_their_norm(keep: str, dtype: torch.dtype) -> None:
    for seed, grid in enumerate(GRIDS):
        size = grid[0] * grid[1]
        noise = np.random.default_rng(seed).normal(size=(size, 4))
        features = torch.from_numpy(noise).to(dtype)
        norms = [math.sqrt(math.fsum(v * v for v in token)) for token in features.tolist()]
        sign = -1 if keep == "largest" else 1
        order = sorted(range(size), key=lambda place: (sign * norms[place], place))
        for budget in {1, (size + 1) // 2, size}:
            tokens = VisionTokens(features, grid, budget=budget)
            result = NormPrune(0.3, keep).compress(tokens)
            assert result.kept.tolist() == sorted(order[:budget])
            assert torch.equal(result.features, features[result.kept])


@pytest.mark.parametrize("keep", ["largest", "smallest"])
def test_equal_norms_go_by_place(keep: str) -> None:
    """The same numbers in another order have the same norm, whatever order they are summed in."""
    base = torch.from_numpy(np.random.default_rng(1).normal(size=257))
    turned = torch.stack([base.roll(7 * shift) * (-1) ** shift for shift in range(12)])
    turned[9] *= 1 + (1e-6 if keep == "largest" else -1e-6)
    for features in (turned, turned.float()):
        result = NormPrune(0.5, keep).compress(VisionTokens(features, (3, 4)))
        assert result.kept.tolist() == [0, 1, 2, 3, 4, 9]
        one = NormPrune(0.01, keep).compress(VisionTokens(features, (3, 4)))
        assert one.kept.tolist() == [9]
    blank = NormPrune(0.5, keep).compress(VisionTokens(torch.zeros(12, 4), (3, 4)))
    assert blank.kept.tolist() == [0, 1, 2, 3, 4, 5]


def test_sets_of_growing_budgets_are_nested_with_ties() -> None:
    coarse = np.random.default_rng(4).integers(-1, 2, size=(35, 3))
    features = torch.from_numpy(coarse).to(torch.bfloat16)
    for keep in ("largest", "smallest"):
        sets = [
            set(
                NormPrune(1.0, keep)
                .compress(VisionTokens(features, (5, 7), budget=k))
                .kept.tolist()
            )
            for k in range(1, 36)
        ]
        assert [len(kept) for kept in sets] == list(range(1, 36))
        assert all(fewer < more for fewer, more in itertools.pairwise(sets))


def test_bad_input_is_named() -> None:
    features = torch.ones(4, 2)
    for value in (math.nan, math.inf):
        with pytest.raises(UserError, match="NaN or infinity"):
            NormPrune().compress(VisionTokens(features * value, (2, 2)))
    with pytest.raises(ValueError, match="keep_tokens: got 5, allowed: 1 to the page's 4 tokens"):
        NormPrune().compress(VisionTokens(features, (2, 2), budget=5))
    with pytest.raises(ConfigError, match=r"(?s)keep_ratio: got 0.*keep: got 'most'"):
        NormPrune(0, "most")
