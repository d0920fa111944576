"""Merging no more pairs than a budget asks for, against plain loops."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from freqexp.composing.compose import compose
from freqexp.errors import ConfigError
from freqexp.nouns.vision import VisionTokens
from freqexp.tokens.merge import Merge
from freqexp.tokens.trained.groups import groups_of
from freqexp.tokens.trained.needed import needed
from freqexp.tokens.trained.settings import MergeSettings

CHANNELS = 5


def slow(
    features: Tensor, blank: list[bool], grid: tuple[int, int], pairs: list[list[int]], count: int
) -> dict[int, int | None]:
    """Partner of each token that is left."""
    rows, columns = grid
    left: dict[int, int | None] = {place: None for place in range(rows * columns)}
    behind = {}
    for row in range(rows):
        last = -1
        for column in range(columns):
            place = row * columns + column
            last = last if blank[place] else column
            behind[place] = column - last
    for place in sorted((p for p in left if blank[p]), key=lambda p: (-behind[p], p)):
        if len(left) > count:
            del left[place]
    differ = {
        (a, b): float((features[a] - features[b]).square().sum())
        for a, b in pairs
        if a != b and a in left and b in left
    }
    for first, second in sorted(differ, key=lambda pair: (differ[pair], pair)):
        if len(left) > count:
            left[first] = second
            del left[second]
    for merged in (False, True):
        for place in sorted((p for p in left if (left[p] is not None) is merged), reverse=True):
            if len(left) > count:
                del left[place]
    return left


@pytest.mark.parametrize("grid", [(4, 6), (3, 5), (1, 2), (2, 7)])
@pytest.mark.parametrize("shape", [(1, 2), (2, 1)])
@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_what_leaves_is_what_loops_say(
    grid: tuple[int, int], shape: tuple[int, int], share: float
) -> None:
    size = grid[0] * grid[1]
    generator = torch.Generator().manual_seed(size)
    features = torch.randn(size, CHANNELS, generator=generator)
    blank = torch.rand(size, generator=generator) < share
    pairs = groups_of(grid, *shape)
    for count in range(1, size + 1):
        kept, partner = needed(features, blank, pairs, grid, count)
        expected = slow(features, blank.tolist(), grid, pairs.tolist(), count)
        found = [None if place < 0 else place for place in partner.tolist()]
        assert dict(zip(kept.tolist(), found, strict=True)) == expected
        assert len(kept) == count


def test_blank_tokens_leave_before_anything_is_merged_and_row_ends_last() -> None:
    blank = torch.tensor([[0, 0, 1, 1], [0, 1, 0, 1], [1, 1, 1, 1]]).bool().flatten()
    features, pairs = torch.randn(12, CHANNELS), groups_of((3, 4), 1, 2)
    kept, partner = needed(features, blank, pairs, (3, 4), 8)
    assert kept.tolist() == [0, 1, 2, 4, 5, 6, 7, 8]
    assert set(partner.tolist()) == {-1}
    kept, partner = needed(features, blank, pairs, (3, 4), 4)
    assert kept.tolist() == [0, 1, 4, 6]
    kept, partner = needed(features, blank, pairs, (3, 4), 3)
    assert dict(zip(kept.tolist(), partner.tolist(), strict=True)) == {0: 1, 4: -1, 6: -1}


def page(grid: tuple[int, int] = (4, 6), dark: int = 15) -> VisionTokens:
    """A page of which the first `dark` tokens show something."""
    size = grid[0] * grid[1]
    features = torch.randn(size, CHANNELS, generator=torch.Generator().manual_seed(1))
    pixels = torch.full((size, 2, 2, 3), 255, dtype=torch.uint8)
    pixels[:dark, 0, 0] = 0
    return VisionTokens(features, grid, (features * 2,), signals={"pixels": pixels})


def test_those_that_are_not_merged_are_as_they_were() -> None:
    given = MergeSettings(which="needed", start="first")
    merge, tokens = Merge(given, keep_ratio=0.5), page(dark=20)
    whole = Merge(replace(given, which="all")).compress(tokens)
    result = merge.compress(tokens)
    assert len(result.kept) == 12
    merged = 0
    for levels, before, every in (
        (result.features, tokens.features, whole.features),
        (result.deepstack[0], tokens.deepstack[0], whole.deepstack[0]),
    ):
        for token, place in zip(levels, result.kept.tolist(), strict=True):
            if torch.equal(token, before[place]):
                continue
            torch.testing.assert_close(token, every[place // 2])
            merged += 1
    assert merged == 2 * 8
    found = merge.reduce(tokens)
    found.features.square().sum().backward()
    weight = merge.network(CHANNELS).weight
    assert weight.grad is not None
    assert bool(weight.grad.any())


def test_a_budget_acts_and_blank_tokens_are_enough_for_it() -> None:
    merge, tokens = Merge(MergeSettings(which="needed")), page()
    for budget in (15, 16, 24):
        result = merge.compress(replace(tokens, budget=budget))
        assert len(result.kept) == budget
        assert torch.equal(result.features, tokens.features[result.kept])
    assert not merge.adaptive
    assert merge.signals == ("pixels",)


def test_settings() -> None:
    with pytest.raises(ConfigError, match="which: got 'some', allowed: all, needed"):
        Merge(MergeSettings(which="some"))
    with pytest.raises(ConfigError, match=r"which: got 'needed', allowed: all, or groups of two"):
        Merge(MergeSettings(which="needed", columns=3))
    with pytest.raises(ConfigError, match=r"keep_ratio: got 1.5"):
        Merge(MergeSettings(which="needed"), keep_ratio=1.5)
    needing = ("compressor=merge", "compressor.which=needed")
    assert compose((*needing, "keep_tokens=72")).keep_tokens == 72
    assert compose(("compressor=merge", "keep_tokens=72")).keep_tokens is None
    with pytest.raises(ConfigError, match=r"compressor.which: got 'needed', allowed: all, or"):
        compose((*needing, "compressor.columns=3"))
