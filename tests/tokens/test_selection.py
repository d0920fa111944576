"""Methods that select vision tokens by comparing them, against slow references."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from freqexp.errors import ConfigError
from freqexp.nouns.vision import VisionTokens
from freqexp.tokens.base import TokenCompressor
from freqexp.tokens.cdprune import CdPrune
from freqexp.tokens.divprune import DivPrune
from freqexp.tokens.scope import Scope
from freqexp.tokens.vispruner import VisPruner

Floats = npt.NDArray[np.float64]
NEAR = 1e-8


def some_tokens(
    grid: tuple[int, int] = (3, 4), seed: int = 0, channels: int = 5, copies: bool = False
) -> VisionTokens:
    """Random features; with copies some tokens are equal, bit for bit."""
    rng, size = np.random.default_rng(seed), grid[0] * grid[1]
    features = rng.normal(size=(size, channels)) + 0.4
    attention = rng.random(size)
    if copies:
        source = rng.integers(0, size // 2 + 1, size)
        features, attention = features[source], np.round(attention, 1)
    return VisionTokens(
        torch.from_numpy(features),
        grid,
        signals={
            "attention": torch.from_numpy(attention / attention.sum()).float(),
            "question": torch.from_numpy(rng.normal(size=(3, channels))),
        },
    )


def cosine(one: Floats, other: Floats) -> float:
    length = math.sqrt(sum(a * a for a in one)) * math.sqrt(sum(b * b for b in other))
    return sum(a * b for a, b in zip(one, other, strict=True)) / length if length else 0.0


def cosine_table(features: Tensor) -> list[list[float]]:
    rows = features.double().numpy()
    return [[cosine(one, other) for other in rows] for one in rows]


def best(values: Sequence[float], allowed: Sequence[int]) -> int:
    """The first place among `allowed` whose value is within rounding of the largest."""
    top = max(values[i] for i in allowed)
    return next(i for i in allowed if values[i] >= top - NEAR)


def greedy(size: int, count: int, value: Callable[[list[int], int], float]) -> list[int]:
    """`count` of `size` places, each time the one of the largest value given those before."""
    chosen: list[int] = []
    for _ in range(count):
        free = [place for place in range(size) if place not in chosen]
        values = [value(chosen, place) if place in free else 0.0 for place in range(size)]
        chosen.append(best(values, free))
    return chosen


def slow_divprune(tokens: VisionTokens, count: int) -> list[int]:
    table = cosine_table(tokens.features)
    every = range(len(table))

    def value(chosen: list[int], place: int) -> float:
        others = chosen or [i for i in every if i != place]
        return min((1 - table[place][i] for i in others), default=9.0)

    return greedy(len(table), count, value)


def slow_scope(tokens: VisionTokens, count: int, alpha: float = 1.0) -> list[int]:
    table = [[max(0.0, value) for value in row] for row in cosine_table(tokens.features)]
    attention = [float(value) for value in tokens.signals["attention"]]

    def coverage(chosen: list[int]) -> float:
        return sum(max((row[j] for j in chosen), default=0.0) for row in table)

    def value(chosen: list[int], place: int) -> float:
        gain = coverage([*chosen, place]) - coverage(chosen)
        return gain / len(table) * (attention[place] / max(attention)) ** alpha

    return greedy(len(table), count, value)


def slow_cdprune(tokens: VisionTokens, count: int) -> list[int]:
    features, words = tokens.features.double().numpy(), tokens.signals["question"].double().numpy()
    raw = [sum(cosine(token, word) for word in words) / len(words) for token in features]
    low, high = min(raw), max(raw)
    weight = [(r - low) / (high - low) * (1 - 1e-6) + 1e-6 for r in raw]
    table = np.array(cosine_table(tokens.features))
    kernel = table * np.outer(weight, weight) + 1e-6 * np.eye(len(table))

    def determinant(chosen: list[int]) -> float:
        return float(np.linalg.det(kernel[np.ix_(chosen, chosen)])) if chosen else 1.0

    def value(chosen: list[int], place: int) -> float:
        return determinant([*chosen, place]) / determinant(chosen)

    return greedy(len(table), count, value)


def slow_vispruner(tokens: VisionTokens, count: int, important: float = 0.5) -> list[int]:
    table = cosine_table(tokens.features)
    attention = [float(value) for value in tokens.signals["attention"]]
    order = sorted(range(len(table)), key=lambda i: (-attention[i], i))
    first = int(count * important)
    rest = order[first:]
    while len(rest) > count - first and count > first:
        even, odd = rest[0::2], rest[1::2]
        near = {i: max(table[i][j] for j in odd) for i in even}
        gone: list[int] = []
        for _ in range(min(8, len(rest) - (count - first), len(even))):
            left = [i for i in even if i not in gone]
            top = max(near[i] for i in left)
            gone.append(next(i for i in left if near[i] >= top - NEAR))
        rest = [i for i in even if i not in gone] + odd
    return order[:first] + (rest if count > first else [])


METHODS: dict[str, tuple[Callable[[float], TokenCompressor], Callable[..., list[int]]]] = {
    "divprune": (DivPrune, slow_divprune),
    "scope": (Scope, slow_scope),
    "coverage": (
        lambda ratio: Scope(ratio, 0.0),
        lambda tokens, count: slow_scope(tokens, count, 0.0),
    ),
    "cdprune": (CdPrune, slow_cdprune),
    "vispruner": (VisPruner, slow_vispruner),
    "attention": (
        lambda ratio: VisPruner(ratio, 1.0),
        lambda tokens, count: slow_vispruner(tokens, count, 1.0),
    ),
    "thinning": (
        lambda ratio: VisPruner(ratio, 0.0),
        lambda tokens, count: slow_vispruner(tokens, count, 0.0),
    ),
}


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("grid", [(3, 4), (1, 7), (5, 1), (4, 6)])
def test_selection_is_the_slow_one(name: str, grid: tuple[int, int]) -> None:
    build, slow = METHODS[name]
    size = grid[0] * grid[1]
    for seed, copies in itertools.product(range(3), (False, True)):
        # Determinants of copies, and of more tokens than channels, are rounding alone.
        if name == "cdprune" and copies:
            continue
        tokens = some_tokens(grid, seed, 30 if name == "cdprune" else 5, copies)
        for count in {1, size // 3 + 1, size // 2, size - 1}:
            result = build(count / size).compress(tokens)
            assert result.kept.tolist() == sorted(slow(tokens, count)), (seed, copies, count)
            assert torch.equal(result.features, tokens.features[result.kept])


@pytest.mark.parametrize("name", METHODS)
def test_selection_in_bfloat16_is_that_of_its_values(name: str) -> None:
    build, slow = METHODS[name]
    tokens = some_tokens((4, 5), seed=3)
    rounded = VisionTokens(tokens.features.bfloat16(), tokens.grid, signals=tokens.signals)
    assert build(0.4).compress(rounded).kept.tolist() == sorted(slow(rounded, 8))


@pytest.mark.parametrize("name", ["divprune", "scope", "coverage", "cdprune"])
def test_the_order_of_tokens_does_not_matter(name: str) -> None:
    tokens = some_tokens((4, 5), seed=1, channels=24)
    order = torch.from_numpy(np.random.default_rng(5).permutation(20))
    mixed = VisionTokens(
        tokens.features[order],
        tokens.grid,
        signals={
            "attention": tokens.signals["attention"][order],
            "question": tokens.signals["question"],
        },
    )
    build, _ = METHODS[name]
    kept = build(0.4).compress(tokens).kept.tolist()
    assert sorted(order[build(0.4).compress(mixed).kept].tolist()) == kept


def on_circle(degrees: Sequence[float]) -> VisionTokens:
    angles = torch.tensor(degrees, dtype=torch.float64).deg2rad()
    features = torch.stack([angles.cos(), angles.sin()], dim=1)
    return VisionTokens(features, (1, len(degrees)))


def test_divprune_of_angles() -> None:
    tokens = on_circle([0, 10, 90, 180])
    assert DivPrune(0.5).compress(tokens).kept.tolist() == [0, 3]
    assert DivPrune(0.75).compress(tokens).kept.tolist() == [0, 2, 3]
    copies = on_circle([0, 0, 0, 90, 180])
    assert DivPrune(0.6).compress(copies).kept.tolist() == [0, 3, 4]


def test_coverage_has_falling_gains_and_is_near_the_best() -> None:
    for seed in range(6):
        tokens = some_tokens((2, 4), seed)
        table = np.maximum(np.array(cosine_table(tokens.features)), 0)
        reached = [0.0]
        for count in range(1, 8):
            kept = Scope(count / 8, 0.0).compress(tokens).kept.numpy()
            reached.append(float(table[:, kept].max(axis=1).sum()))
        gains = np.diff(reached)
        assert bool((np.diff(gains) <= NEAR).all())
        three = max(
            float(table[:, list(some)].max(axis=1).sum())
            for some in itertools.combinations(range(8), 3)
        )
        assert reached[3] >= (1 - 1 / math.e) * three


def test_vispruner_keeps_one_of_each_pair() -> None:
    features = torch.eye(6, dtype=torch.float64).repeat_interleave(2, dim=0)
    attention = torch.linspace(1, 0.5, 12)
    tokens = VisionTokens(features, (3, 4), signals={"attention": attention})
    kept = VisPruner(0.5, 0.0).compress(tokens).kept
    assert sorted((kept // 2).tolist()) == list(range(6))


def test_cdprune_of_orthogonal_tokens_goes_by_relevance() -> None:
    features, question = torch.eye(6, dtype=torch.float64), torch.tensor([[3.0, 1, 2, 6, 5, 4]])
    tokens = VisionTokens(features, (2, 3), signals={"question": question})
    assert CdPrune(0.5).compress(tokens).kept.tolist() == [3, 4, 5]


def test_cdprune_without_words_or_with_copies_stays_finite() -> None:
    tokens = some_tokens((4, 5), copies=True)
    distinct = len(torch.unique(tokens.features, dim=0))
    for words in (tokens.signals["question"], tokens.signals["question"][:0]):
        given = VisionTokens(tokens.features, tokens.grid, signals={"question": words})
        kept = CdPrune(0.9).compress(given).kept
        assert len(kept) == 18
        first = CdPrune(distinct / 2 / 20).compress(given).kept
        assert len(torch.unique(tokens.features[first], dim=0)) == len(first)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Scope(0.5, -1.0), "alpha: got -1.0, allowed: 0 or more"),
        (lambda: Scope(0.5, math.nan), "alpha: got nan"),
        (lambda: VisPruner(0.5, 1.5), "important: got 1.5, allowed: 0 to 1"),
        (lambda: DivPrune(0.0), "keep_ratio: got 0.0"),
        (lambda: CdPrune(2.0), "keep_ratio: got 2.0"),
    ],
)
def test_settings_outside_their_ranges(build: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build()
