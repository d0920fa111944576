"""Tests of differences, and what they say together.

Paired permutation test (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter
15), Holm's step-down correction (1979) and non-inferiority at a margin.
"""

from __future__ import annotations

from collections.abc import Sequence

MARGIN = 0.01
"""Non-inferiority margin: one point of accuracy."""
ALPHA = 0.05

_SEED = 0  # one for all, so that the same differences have the same p value wherever it is shown
_DRAWS = 10_000
_CHUNK = 1_000  # draws made at a time, so that memory stays small for long lists
_EXACT = 13  # up to so many pairs every assignment of signs is tried: 2 ** 13 < _DRAWS
_ROUNDING = 1e-12


def permutation_p_value(differences: Sequence[float]) -> float:
    """Two-sided p value of a paired permutation test of mean(differences) = 0.

    If a method changed nothing, each pair's two scores could stand either way round: the signs of
    the differences are flipped. Exact for at most 13 differences that are not zero (the others do
    not matter), otherwise (1 + hits) / (1 + 10,000) from random signs.
    Raises ValueError for no differences at all.
    """
    import numpy as np

    if not differences:
        raise ValueError("a permutation test needs at least 1 pair")
    values = np.asarray(sorted(differences), dtype=np.float64)
    values = values[values != 0]
    n = len(values)
    if n == 0:
        return 1.0
    observed = abs(float(values.sum())) - _ROUNDING * n
    if n <= _EXACT:
        every = (np.arange(2**n)[:, np.newaxis] >> np.arange(n)) & 1
        return float(np.mean(np.abs((2.0 * every - 1) @ values) >= observed))
    generator = np.random.default_rng(_SEED)
    hits = 0
    for _ in range(_DRAWS // _CHUNK):
        # One random bit a sign: drawing whole numbers would take eight times as long.
        bits = np.frombuffer(generator.bytes(_CHUNK * -(-n // 8)), dtype=np.uint8)
        signs = np.unpackbits(bits.reshape(_CHUNK, -1), axis=1, count=n)
        hits += int(np.count_nonzero(np.abs((2.0 * signs - 1) @ values) >= observed))
    return (1 + hits) / (1 + _DRAWS)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's adjusted p values of one family of tests, in the given order; None stays None.

    The smallest of m is multiplied by m, the next by m - 1, ...; none falls below an earlier one.
    """
    tested = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, index) in enumerate(tested):
        highest = max(highest, min(1.0, p * (len(tested) - rank)))
        adjusted[index] = highest
    return adjusted


def verdict(low: float, high: float, margin: float = MARGIN) -> str:
    """Non-inferiority at `margin`: "non-inferior" when a difference is above -margin all through
    its interval [low, high], "inferior" when it is below all through, else "undecided".

    Raises ValueError for a margin that is not positive.
    """
    if not margin > 0:
        raise ValueError(f"margin: got {margin!r}, allowed: above 0")
    if low > -margin:
        return "non-inferior"
    return "inferior" if high < -margin else "undecided"
