"""Intervals of means: how sure an accuracy or a difference is, also where nothing was seen to
change.

Most samples of a comparison score alike and a few fall far. A percentile or BCa bootstrap only
repeats what was seen: of 64 equal answers it makes an interval of no width, though one answer in 18
may be another (exact binomial). Here a Bayesian bootstrap (Rubin 1981) weighs the values and two
that were not seen: at the end that it widens, one as far out as may be expected (`_unseen`), with
weight `BEYOND`; at the other the extreme of those seen, with weight `WITHIN`. For scores of 0 and 1
the ends are quantiles of Beta(k + w, n - k + v), between Jeffreys' (w = v = 1/2) and Clopper and
Pearson's (w = 1, v = 0), which Gaffke (2005) carried over to bounded means. The weights were chosen
by `python -m bench.coverage`. Where nothing was seen in n values they leave room for 3.25 / n,
Clopper and Pearson for 3.7 / n and mid-P for 3.0 / n.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

LEVEL = 0.95
RESAMPLES = 10_000
LEAST_TAIL = 2e-6
"""The least probability beyond an end of an interval: one at 5e-6 takes two million resamples."""
BEYOND, WITHIN = 0.8, 0.6
"""Weights, in values, of the value that was not seen and of the extreme that was."""

_SEED = 0  # one for all, so that the same values have the same interval wherever it is shown
_CHUNK = 1_000  # resamples drawn at a time, so that memory stays small for long lists
_BEYOND_END = 10  # so many resamples lie beyond an end of an interval, at least
_LISTS = 256  # lists resampled at a time, for the same reason


class Bounded(NamedTuple):
    """Values and the least and greatest that one more of them could be."""

    values: Sequence[float]
    least: float
    greatest: float


def scores(values: Sequence[float]) -> Bounded:
    """Scores and rates, which lie in [0, 1]."""
    return Bounded(values, 0.0, 1.0)


def changes(ours: Sequence[float], base: Sequence[float]) -> Bounded:
    """Differences ours - base of scores in [0, 1], pair by pair.

    One more pair could lose as much as the best score of `base` and gain what is missing to 1 from
    its worst: where `base` is 1 throughout nothing can be gained.
    Raises ValueError for unequal lengths or no pairs.
    """
    if len(ours) != len(base) or not base:
        raise ValueError(f"needs pairs, got {len(ours)} and {len(base)} scores")
    pairs = zip(ours, base, strict=True)
    return Bounded([one - other for one, other in pairs], -max(base), 1 - min(base))


def measures(values: Sequence[float]) -> Bounded:
    """Values without a known range, such as bytes: what was seen bounds them."""
    return Bounded(values, min(values, default=0.0), max(values, default=0.0))


def interval(values: Bounded, level: float = LEVEL) -> tuple[float, float]:
    """Interval of the mean at a level, 95 % unless said; `intervals` of one list."""
    return intervals([values], level)[0]


def intervals(lists: Sequence[Bounded], level: float = LEVEL) -> list[tuple[float, float]]:
    """Interval of the mean of each list at a level, 95 % unless said: the same for the same values
    in whatever company, but for rounding.

    Lists of one length are resampled together, the more often the farther out the ends lie. Raises
    ValueError for a list of fewer than two values, whose spread is not known, for a value out of
    its bounds, and for a level whose ends lie farther out than `LEAST_TAIL`.
    """
    import numpy as np

    tail = (1 - level) / 2
    if not LEAST_TAIL <= tail < 0.5:
        raise ValueError(f"level: got {level!r}, allowed: 0 to {1 - 2 * LEAST_TAIL!r}")
    draws = max(RESAMPLES, _CHUNK * math.ceil(_BEYOND_END / tail / _CHUNK))

    by_length: dict[int, list[int]] = {}
    for index, (values, least, greatest) in enumerate(lists):
        if len(values) < 2:
            raise ValueError(f"an interval needs at least 2 values, got {len(values)}")
        if not least <= min(values) <= max(values) <= greatest:
            raise ValueError(f"got values outside [{least!r}, {greatest!r}]")
        by_length.setdefault(len(values), []).append(index)
    found: dict[int, tuple[float, float]] = {}
    for n, indices in by_length.items():
        for start in range(0, len(indices), _LISTS):
            block = indices[start : start + _LISTS]
            seen = [_unseen(lists[i]) for i in block]
            below = [[*values, low, values[-1]] for values, low, _ in seen]
            above = [[*values, high, values[0]] for values, _, high in seen]
            lows = np.quantile(_means(below, n, draws), tail, axis=0)
            highs = np.quantile(_means(above, n, draws), 1 - tail, axis=0)
            # Sums of weights are 1 but for rounding.
            lows = np.maximum(lows, [lists[i].least for i in block])
            highs = np.minimum(highs, [lists[i].greatest for i in block])
            found.update(zip(block, zip(lows.tolist(), highs.tolist(), strict=True), strict=True))
    return [found[index] for index in range(len(lists))]


def _unseen(bounded: Bounded) -> tuple[list[float], float, float]:
    """The values in order, and what is expected of one that was not seen below and above them.

    Of k values that fell from the median another such one falls deeper than all with probability
    1 / (k + 1), and then no deeper than the least possible. A fall counts by its depth, so that a
    tiny one does not promise that others are tiny.
    """
    values = sorted(bounded.values)
    middle = values[len(values) // 2]
    low = _beyond(middle, values[0], bounded.least, values)
    high = _beyond(middle, values[-1], bounded.greatest, values)
    return values, low, high


def _beyond(middle: float, extreme: float, bound: float, values: Sequence[float]) -> float:
    """Where a value beyond `extreme` is expected, towards `bound`."""
    if bound == middle:
        return bound
    depth = sum(max(0.0, (value - middle) / (bound - middle)) for value in values)
    return (bound + depth * extreme) / (depth + 1)


def _means(lists: Sequence[Sequence[float]], n: int, draws: int) -> npt.NDArray[np.float64]:
    """Weighted means [draws, len(lists)] of lists of n values and two that were not seen."""
    import numpy as np

    columns = np.array(lists).T
    return np.concatenate([weights @ columns for weights in _weights(n, draws)])


def _weights(n: int, draws: int) -> Iterator[npt.NDArray[np.float64]]:
    """Dirichlet weights [_CHUNK, n + 2] of n values and the two that were not seen."""
    import numpy as np

    generator = np.random.default_rng(_SEED)
    for _ in range(draws // _CHUNK):
        drawn = np.concatenate(
            (
                generator.standard_exponential((_CHUNK, n)),
                generator.standard_gamma(BEYOND, (_CHUNK, 1)),
                generator.standard_gamma(WITHIN, (_CHUNK, 1)),
            ),
            axis=1,
        )
        yield drawn / drawn.sum(axis=1, keepdims=True)


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
