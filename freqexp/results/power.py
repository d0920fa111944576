"""How many samples a question needs, from the paired differences that were seen.

Normal approximation for what was seen to vary, two-sided 5 % and power 80 %; for what was not, the
limits of `freqexp.results.intervals`. Both answer in advance: a run of that many samples may still
turn out otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

from freqexp.results.intervals import BEYOND, LEVEL, WITHIN, Bounded

POWER = 0.8


def _factor() -> float:
    normal = NormalDist()
    return normal.inv_cdf((1 + LEVEL) / 2) + normal.inv_cdf(POWER)


def samples_for_non_inferiority(differences: Bounded, margin: float) -> int:
    """Samples after which a method that changes nothing on average is called non-inferior.

    Its differences are taken to have the mean square of those seen. The interval of n of them
    reaches below zero by z s / sqrt(n), and by u / n of the greatest loss even where none was seen
    to change, u being the upper quantile of Gamma(`BEYOND`). Both together, as lengths at a right
    angle, must not reach the margin.
    """
    from scipy.special import gammaincinv

    values = differences.values
    seen = (_factor() * _root_mean_square(values)) ** 2
    unseen = (float(gammaincinv(BEYOND, (1 + LEVEL) / 2)) * -differences.least) ** 2
    if unseen == 0:
        return max(2, math.ceil(seen / margin**2))
    # seen / n + unseen / n ** 2 = margin ** 2, solved for 1 / n.
    inverse = (math.sqrt(seen**2 + 4 * unseen * margin**2) - seen) / (2 * unseen)
    return max(2, math.ceil(1 / inverse))


def least_samples(margin: float, level: float = LEVEL) -> int:
    """Samples below which an interval at this level reaches below -margin even where no score
    changed and the baseline has a score of 1; only gains could show non-inferiority with fewer.
    """
    from scipy.special import betaincinv

    def room(samples: int) -> float:
        return float(betaincinv(BEYOND, samples + WITHIN, (1 + level) / 2))

    high = 2
    while room(high) >= margin:
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if room(middle) < margin else (middle, high)
    return high


def samples_for_loss(differences: Bounded, loss: float) -> int:
    """Samples after which a mean difference of -loss is seen as one.

    n = ((z_0.975 + z_0.8) s / loss) ** 2. s ** 2 is the variance of the differences seen, and what
    the loss brings by itself when it falls on as few samples as can carry it.
    """
    values = differences.values
    mean = math.fsum(values) / len(values)
    variance = math.fsum((value - mean) ** 2 for value in values) / max(1, len(values) - 1)
    rare = loss * max(0.0, -differences.least - loss)
    return max(2, math.ceil((variance + rare) * (_factor() / loss) ** 2))


def _root_mean_square(values: Sequence[float]) -> float:
    return math.sqrt(math.fsum(value * value for value in values) / len(values))
