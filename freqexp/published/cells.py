"""One compared number, its tolerance, and the verdict over many of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from statistics import NormalDist, stdev

from freqexp.results.intervals import LEVEL

Z = NormalDist().inv_cdf((1 + LEVEL) / 2)


class Verdict(Enum):
    """What a comparison says; the values are the command's exit codes."""

    reproduced = 0
    differs = 1
    not_comparable = 3

    @property
    def words(self) -> str:
        """For people."""
        return self.name.replace("_", " ")


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One number beside the one it should be.

    run, figure: what it is a number of. then: the saved or published text, now: ours.
    difference: with its tolerance, "" where there is none. reason: in a sentence. where: the model
    and the samples ours was measured on, for a published number. expected, value, low, high: the
    published number and ours with its 95 % interval, unrounded (scores in [0, 1]).
    """

    run: str
    figure: str
    then: str
    now: str
    verdict: Verdict
    difference: str = ""
    reason: str = ""
    where: str = ""
    expected: float | None = None
    value: float | None = None
    low: float | None = None
    high: float | None = None


def overall(cells: Iterable[Cell]) -> Verdict:
    """Differs when one does; reproduced when all are; else something could not be compared."""
    verdicts = {cell.verdict for cell in cells}
    if Verdict.differs in verdicts:
        return Verdict.differs
    return Verdict.reproduced if verdicts == {Verdict.reproduced} else Verdict.not_comparable


def mean_error(values: Sequence[float]) -> float:
    """Standard error of the mean; 0 below two values."""
    return stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0


def published_error(score: float, samples: int) -> float:
    """Largest standard error a mean `score` of `samples` values in [0, 1] can have.

    Published tables give no spread. No variable in [0, 1] of mean p has more variance than
    p (1 - p), which MRCR's scores, mostly near 0 or near 1, almost reach.
    """
    return math.sqrt(score * (1 - score) / samples)


def tolerance(*errors: float) -> float:
    """Half the 95 % interval of a difference of independent means with these standard errors."""
    return Z * math.hypot(*errors)
