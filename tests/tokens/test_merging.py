"""Merging of similar vision tokens, against nested loops."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from freqexp.coding.share import kept_count
from freqexp.errors import ConfigError
from freqexp.nouns.vision import VisionTokens
from freqexp.tokens.tome import ToMe, schedule

NEAR = 1e-8


def some_tokens(grid: tuple[int, int], seed: int, copies: bool = False) -> VisionTokens:
    rng, size = np.random.default_rng(seed), grid[0] * grid[1]
    features, keys = rng.normal(size=(size, 6)), rng.normal(size=(size, 4))
    if copies:
        keys = keys[rng.integers(0, size // 2 + 1, size)]
    return VisionTokens(torch.from_numpy(features), grid, signals={"keys": torch.from_numpy(keys)})


def slow(tokens: VisionTokens, count: int, by_keys: bool) -> dict[int, set[int]]:
    """What each place that stays stands for, one pair of tokens at a time."""
    values = (tokens.signals["keys"] if by_keys else tokens.features).tolist()
    members = {place: {place} for place in range(len(values))}

    def mean(place: int) -> list[float]:
        own = [values[member] for member in members[place]]
        return [sum(column) / len(own) for column in zip(*own, strict=True)]

    def cosine(one: list[float], other: list[float]) -> float:
        return sum(a * b for a, b in zip(one, other, strict=True)) / (
            math.hypot(*one) * math.hypot(*other)
        )

    while len(members) > count:
        places = sorted(members)
        means = {place: mean(place) for place in places}
        ours, theirs = places[0::2], places[1::2]
        targets = {}
        for place in ours:
            near = [cosine(means[place], means[other]) for other in theirs]
            at = next(i for i, value in enumerate(near) if value >= max(near) - NEAR)
            targets[place] = (near[at], theirs[at])
        leaving: list[int] = []
        for _ in range(min(len(places) - count, len(ours))):
            left = [place for place in ours if place not in leaving]
            top = max(targets[place][0] for place in left)
            leaving.append(next(p for p in left if targets[p][0] >= top - NEAR))
        for place in leaving:
            members[targets[place][1]] |= members.pop(place)
    return members


@pytest.mark.parametrize("metric", ["keys", "features"])
@pytest.mark.parametrize("grid", [(3, 4), (1, 7), (5, 1), (4, 6)])
def test_merging_is_the_slow_one(metric: str, grid: tuple[int, int]) -> None:
    size = grid[0] * grid[1]
    for seed in range(3):
        tokens = some_tokens(grid, seed, copies=seed == 2)
        for count in {1, size // 4 + 1, size // 2, size - 1}:
            result = ToMe(count / size, metric).compress(tokens)
            expected = slow(tokens, count, metric == "keys")
            assert result.kept.tolist() == sorted(expected)
            for row, place in enumerate(sorted(expected)):
                mean = tokens.features[sorted(expected[place])].mean(dim=0)
                torch.testing.assert_close(result.features[row], mean)


def test_what_is_merged_keeps_its_sum() -> None:
    """As a linear map: every token counts once, and the weights of each row sum to 1."""
    tokens = some_tokens((4, 6), 1)
    eye = torch.eye(24, dtype=torch.float64)
    given = VisionTokens(eye, tokens.grid, (eye,), tokens.signals)
    result = ToMe(0.3).compress(given)
    weights = result.features
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(7).double())
    sizes = (weights > 0).sum(dim=1, keepdim=True)
    torch.testing.assert_close((weights * sizes).sum(dim=0), torch.ones(24).double())
    assert torch.equal(result.deepstack[0], weights)


def test_at_most_half_go_in_a_step() -> None:
    assert schedule(24, 12, None) == [12]
    assert schedule(24, 11, None) == [12, 1]
    assert schedule(24, 1, None) == [12, 6, 3, 2]
    assert schedule(24, 12, 3) == [4, 4, 4]
    for tokens, steps in itertools.product(range(2, 40), range(1, 5)):
        for ratio in (0.5**steps, 0.6**steps, 0.9):
            count = kept_count(tokens, ratio)
            gone, left = schedule(tokens, count, steps), tokens
            assert len(gone) <= steps
            for number in gone:
                assert 1 <= number <= (left + 1) // 2
                left -= number
            assert left == count
    with pytest.raises(ConfigError, match=r"keep_ratio: got 0.3, allowed: 0.5 or more with steps"):
        ToMe(0.3, steps=1)
    page = some_tokens((4, 6), 0)
    low = replace(page, budget=3)
    with pytest.raises(ValueError, match="steps: got 2, allowed: more"):
        ToMe(0.5, steps=2).compress(low)
    assert len(ToMe(0.5, steps=3).compress(low).kept) == 3


def test_settings_outside_their_ranges() -> None:
    with pytest.raises(ConfigError, match="metric: got 'values', allowed: keys, features"):
        ToMe(0.5, "values")
    with pytest.raises(ConfigError, match="steps: got 0, allowed: 1 or more"):
        ToMe(0.5, steps=0)
