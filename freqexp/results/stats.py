"""Intervals and tests by resampling: every accuracy and every difference comes with one.

Percentile bootstrap over samples and paired permutation test (Efron and Tibshirani, "An
Introduction to the Bootstrap", 1993, chapters 13, 15 and 16), Holm's step-down correction (1979),
and what they cannot say: how far harm that was not seen may go, and how many samples a small
difference needs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

RESAMPLES = 10_000
LEVEL = 0.95
POWER = 0.8
MARGIN = 0.01
"""Non-inferiority margin: one point of accuracy."""

_CHUNK = 1_000  # resamples drawn at a time, so that memory stays small for long lists
_LISTS = 256  # lists resampled at a time, for the same reason
_EXACT = 13  # up to so many pairs every assignment of signs is tried: 2 ** 13 < RESAMPLES
_ROUNDING = 1e-12


def _resampled_means(values: npt.NDArray[np.float64], seed: int) -> npt.NDArray[np.float64]:
    """Means of RESAMPLES resamples of `values` [n], drawn with replacement; float64 [RESAMPLES]."""
    import numpy as np

    generator = np.random.default_rng(seed)
    parts = [
        values[generator.integers(len(values), size=(_CHUNK, len(values)))].mean(axis=1)
        for _ in range(RESAMPLES // _CHUNK)
    ]
    return np.concatenate(parts)


def _percentiles(means: npt.NDArray[np.float64]) -> tuple[float, float]:
    import numpy as np

    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def bootstrap_mean_ci(scores: Sequence[float], seed: int) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the mean of `scores`, reproducible from `seed`.

    Raises ValueError with fewer than two scores: one sample says nothing about its spread.
    """
    import numpy as np

    if len(scores) < 2:
        raise ValueError(f"a bootstrap interval needs at least 2 scores, got {len(scores)}")
    return _percentiles(_resampled_means(np.asarray(scores, dtype=np.float64), seed))


def paired_bootstrap(
    scores: Sequence[float], baseline: Sequence[float], seed: int
) -> tuple[float, float, float, float]:
    """(delta, low, high, p_value) of mean(scores) - mean(baseline), both in the same sample order.

    Samples are drawn as pairs. low, high: 95 % percentile interval. p_value: two-sided, how often a
    resample of the differences shifted to mean zero departs from zero at least as far as the
    observed delta, (1 + hits) / (1 + resamples).
    Raises ValueError for fewer than two pairs or unequal lengths.
    """
    import numpy as np

    if len(scores) != len(baseline) or len(scores) < 2:
        raise ValueError(f"needs at least 2 pairs, got {len(scores)} and {len(baseline)} scores")
    differences = np.asarray(scores, dtype=np.float64) - np.asarray(baseline, dtype=np.float64)
    delta = float(differences.mean())
    means = _resampled_means(differences, seed)
    low, high = _percentiles(means)
    # Differences shifted by -delta have means shifted by -delta. The slack is for rounding.
    hits = int(np.count_nonzero(np.abs(means - delta) >= abs(delta) - _ROUNDING))
    return delta, low, high, (1 + hits) / (1 + RESAMPLES)


def _draws(n: int, seed: int) -> Iterator[npt.NDArray[np.float64]]:
    """The resamples of n samples as counts [_CHUNK, n], the same draws as `_resampled_means`."""
    import numpy as np

    generator = np.random.default_rng(seed)
    offsets = np.arange(_CHUNK)[:, np.newaxis] * n
    for _ in range(RESAMPLES // _CHUNK):
        drawn = generator.integers(n, size=(_CHUNK, n)) + offsets
        counts = np.bincount(drawn.ravel(), minlength=_CHUNK * n)
        yield counts.reshape(_CHUNK, n).astype(np.float64)


def bootstrap_intervals(lists: Sequence[Sequence[float]], seed: int) -> list[tuple[float, float]]:
    """95 % percentile bootstrap interval of the mean of each list, as `bootstrap_mean_ci` gives it
    up to rounding; lists of one length are resampled together, which is much faster.

    Raises ValueError for a list of fewer than two values.
    """
    import numpy as np

    found: dict[int, tuple[float, float]] = {}
    by_length: dict[int, list[int]] = {}
    for index, values in enumerate(lists):
        if len(values) < 2:
            raise ValueError(f"a bootstrap interval needs at least 2 scores, got {len(values)}")
        by_length.setdefault(len(values), []).append(index)
    for n, indices in by_length.items():
        for start in range(0, len(indices), _LISTS):
            block = indices[start : start + _LISTS]
            columns = np.array([lists[index] for index in block], dtype=np.float64).T
            means = np.concatenate([counts @ columns for counts in _draws(n, seed)]) / n
            lows, highs = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
            found.update(zip(block, zip(lows.tolist(), highs.tolist(), strict=True), strict=True))
    return [found[index] for index in range(len(lists))]


def permutation_p_value(differences: Sequence[float], seed: int) -> float:
    """Two-sided p value of a paired permutation test of mean(differences) = 0.

    If a method changed nothing, each pair's two scores could stand either way round: the signs of
    the differences are flipped. Exact for at most 13 differences that are not zero (the others do
    not matter), otherwise (1 + hits) / (1 + 10,000) from random signs.
    Raises ValueError for no differences at all.
    """
    import numpy as np

    if not differences:
        raise ValueError("a permutation test needs at least 1 pair")
    values = np.asarray(differences, dtype=np.float64)
    values = values[values != 0]
    n = len(values)
    if n == 0:
        return 1.0
    observed = abs(float(values.sum())) - _ROUNDING * n
    if n <= _EXACT:
        every = (np.arange(2**n)[:, np.newaxis] >> np.arange(n)) & 1
        return float(np.mean(np.abs((2.0 * every - 1) @ values) >= observed))
    generator = np.random.default_rng(seed)
    hits = 0
    for _ in range(RESAMPLES // _CHUNK):
        # One random bit a sign: drawing whole numbers would take eight times as long.
        bits = np.frombuffer(generator.bytes(_CHUNK * -(-n // 8)), dtype=np.uint8)
        signs = np.unpackbits(bits.reshape(_CHUNK, -1), axis=1, count=n)
        hits += int(np.count_nonzero(np.abs((2.0 * signs - 1) @ values) >= observed))
    return (1 + hits) / (1 + RESAMPLES)


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


def with_unseen_harm(differences: Sequence[float]) -> list[float]:
    """The differences of scores in [0, 1] and one more sample that lost a whole one.

    Resampling knows only what was seen: among 64 samples of which none got worse it finds no harm
    possible, though one sample in 18 may be harmed (exact binomial, 97.5 %). One more harmed sample
    repairs that (resamples then hold up to 3 in 65) and fades as samples are added.
    """
    return [*differences, -1.0]


def verdict(worst: float, high: float, margin: float = MARGIN) -> str:
    """Non-inferiority at `margin`: "non-inferior" when the difference is above -margin all through
    its interval, "inferior" when it is below all through, else "undecided".

    worst: the interval's lower end, taken `with_unseen_harm`. high: its upper end.

    Raises ValueError for a margin that is not positive.
    """
    if not margin > 0:
        raise ValueError(f"margin: got {margin!r}, allowed: above 0")
    if worst > -margin:
        return "non-inferior"
    return "inferior" if high < -margin else "undecided"


def samples_needed(differences: Sequence[float], effect: float = MARGIN) -> int | None:
    """How many samples a mean difference of `effect` would need: two-sided 5 %, power 80 %.

    n = ((z_0.975 + z_0.8) s / effect) ** 2 with the standard deviation s of these paired
    differences. None with fewer than two of them or when all are equal: nothing is known of s.
    """
    import numpy as np

    deviation = float(np.std(differences, ddof=1)) if len(differences) > 1 else 0.0
    if deviation < _ROUNDING:
        return None
    normal = NormalDist()
    factor = normal.inv_cdf((1 + LEVEL) / 2) + normal.inv_cdf(POWER)
    return math.ceil((factor * deviation / effect) ** 2)


def rate_interval(hits: int, n: int) -> tuple[float, float]:
    """95 % Wilson score interval of a rate of `hits` in `n` (Wilson 1927); good also near 0 and 1.

    Raises ValueError when n is not positive or hits are outside [0, n].
    """
    if not 0 <= hits <= n or n < 1:
        raise ValueError(f"got {hits} hits of {n}, allowed: 0 to n hits, n at least 1")
    z = NormalDist().inv_cdf((1 + LEVEL) / 2)
    rate = hits / n
    centre = rate + z * z / (2 * n)
    spread = z * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)
