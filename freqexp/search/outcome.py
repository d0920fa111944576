"""What a search has seen and what follows from it: data and pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from freqexp.results.intervals import changes, interval
from freqexp.results.record import mean
from freqexp.results.stats import ALPHA, verdict
from freqexp.search.plan import Plan

Scores = Mapping[str, float]
"""Scores of a run's samples by their ids; failed ones are not among them."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """A probe after some samples.

    samples: asked for; the data set can hold fewer. pairs: scored in the probe and in the baseline.
    accuracy, baseline_accuracy: over the pairs. delta: the probe's less the baseline's, low and
    high its interval at `level`; None where two pairs, or the level, don't allow one.
    """

    samples: int
    pairs: int
    accuracy: float | None
    baseline_accuracy: float | None
    delta: float | None
    low: float | None
    high: float | None
    level: float
    verdict: str


@dataclass(frozen=True)
class Probe:
    """A value of the budget, with the looks at it. scores: of the last look."""

    value: float
    run_id: str
    looks: tuple[Look, ...]
    scores: Scores = field(repr=False)

    @property
    def last(self) -> Look:
        """The look that decided, or the one after all samples."""
        return self.looks[-1]

    @property
    def passes(self) -> bool:
        """Whether it was shown to be non-inferior."""
        return self.last.verdict == "non-inferior"


@dataclass(frozen=True)
class Fall:
    """Two probes of which the one with the smaller budget scored more, with the interval of how
    much more on the samples that both scored.
    """

    smaller: float
    larger: float
    samples: int
    more: float
    low: float
    high: float


@dataclass(frozen=True)
class Outcome:
    """A search that is at its end. probes: in the order in which they were made."""

    plan: Plan
    method: str
    name: str
    baseline_run_id: str
    probes: tuple[Probe, ...]

    @property
    def answer(self) -> Probe | None:
        """The smallest budget that was shown to be non-inferior."""
        shown = [probe for probe in self.probes if probe.passes]
        return min(shown, key=lambda probe: probe.value, default=None)

    @property
    def below(self) -> Probe | None:
        """The largest budget below the answer, or without one of all, that was not shown to be."""
        limit = self.answer.value if self.answer else float("inf")
        under = [probe for probe in self.probes if probe.value < limit]
        return max(under, key=lambda probe: probe.value, default=None)


def look_at(plan: Plan, number: int, ours: Scores, base: Scores) -> Look:
    """What the scores of a probe and of its baseline say at a look, counted from 0."""
    shared = sorted(ours.keys() & base.keys())
    mine, theirs = [ours[key] for key in shared], [base[key] for key in shared]
    low = high = None
    said = "undecided"
    if len(shared) > 1 and plan.decides(number):
        low, high = interval(changes(mine, theirs), plan.level(number))
        said = verdict(low, high, plan.margin)
    return Look(
        samples=plan.samples[number],
        pairs=len(shared),
        accuracy=mean(mine),
        baseline_accuracy=mean(theirs),
        delta=mean(one - other for one, other in zip(mine, theirs, strict=True)),
        low=low,
        high=high,
        level=plan.level(number),
        verdict=said,
    )


def falls(probes: Sequence[Probe]) -> list[Fall]:
    """Pairs of probes at which accuracy falls as the budget grows: the interval of their difference
    on shared samples is above zero, at 95 % for all pairs together (Bonferroni).
    """
    pairs = list(combinations(sorted(probes, key=lambda probe: probe.value), 2))
    found = []
    for smaller, larger in pairs:
        shared = sorted(smaller.scores.keys() & larger.scores.keys())
        if len(shared) < 2:
            continue
        differences = changes(
            [smaller.scores[key] for key in shared], [larger.scores[key] for key in shared]
        )
        more = mean(differences.values) or 0.0
        if more <= 0:
            continue
        low, high = interval(differences, 1 - ALPHA / len(pairs))
        if low > 0:
            found.append(Fall(smaller.value, larger.value, len(shared), more, low, high))
    return found
