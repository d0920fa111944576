"""What a search will do, fixed before its first sample: values, looks, and the level of each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from freqexp.errors import ConfigError, fault
from freqexp.results.intervals import LEAST_TAIL
from freqexp.results.stats import ALPHA, MARGIN

BudgetName = Literal["keep_ratio", "keep_tokens"]
MOST_VALUES = 1000
LOW, HIGH, RESOLUTION = 0.1, 1.0, 0.05
SAMPLES = (64, 128, 256, 512)
RHO = 3
"""Power of the spending function of Kim and DeMets: little is spent on early looks."""


@dataclass(frozen=True)
class Wanted:
    """What was asked for, unchecked. low, high, resolution: None where nothing was typed. samples:
    as typed, or numbers.
    """

    budget: BudgetName = "keep_ratio"
    margin: float = MARGIN
    low: float | None = None
    high: float | None = None
    resolution: float | None = None
    samples: str | Sequence[int] = SAMPLES


@dataclass(frozen=True)
class Plan:
    """A search, checked.

    values: of the budget, rising; one of them, or none, is the answer. samples: how many a probe
    has answered at each of its looks, rising.
    """

    budget: BudgetName
    margin: float
    values: tuple[float, ...]
    samples: tuple[int, ...]

    @property
    def probes(self) -> int:
        """The most values that bisection looks at: with m values there are m + 1 answers."""
        return len(self.values).bit_length()

    def level(self, look: int) -> float:
        """The level of the interval at a look, counted from 0, so that all intervals of a search
        hold the truth together with 95 %.

        The 5 % are divided by the number of probes (Bonferroni). A probe's share is spent on its
        looks as alpha(t) = alpha t ** `RHO` (Lan and DeMets, Biometrika 70, 1983; Kim and DeMets,
        Biometrika 74, 1987), t being the share of the most samples; each look is tested at what was
        spent since the one before, whatever their correlation.
        """
        most = self.samples[-1]
        before = self.samples[look - 1] if look else 0
        spent = (self.samples[look] / most) ** RHO - (before / most) ** RHO
        return 1 - ALPHA / self.probes * spent

    def decides(self, look: int) -> bool:
        """Whether the level of a look is one at which there are intervals."""
        return (1 - self.level(look)) / 2 >= LEAST_TAIL


def plan_of(wanted: Wanted) -> Plan:
    """The search that was asked for. Raises ConfigError with every fault."""
    faults = []
    if not 0 < wanted.margin < 1:
        faults.append(fault("--margin", wanted.margin, "a number above 0 and below 1"))
    samples, wrong = _samples(wanted.samples)
    values, bad_range = _values(wanted)
    faults += [*bad_range, *wrong]
    if faults:
        raise ConfigError(faults)
    return Plan(wanted.budget, wanted.margin, values, samples)


def _samples(typed: str | Sequence[int]) -> tuple[tuple[int, ...], list[str]]:
    """The numbers of samples, and what is wrong with them."""
    allowed = "integers from 2 to 10000000, each above the one before, as in 32,64,128"
    shown = typed if isinstance(typed, str) else ",".join(map(str, typed))
    words = re.sub(r"^\[(.*)\]$", r"\1", shown.strip()).split(",")
    # Longer numbers are out of range, and slow to read.
    if not all(re.fullmatch(r"\s*[0-9]{1,8}\s*", word, re.ASCII) for word in words):
        return (), [fault("--samples", shown, allowed)]
    found = tuple(int(word) for word in words)
    if not 2 <= found[0] <= found[-1] <= 10_000_000 or sorted(set(found)) != list(found):
        return (), [fault("--samples", shown, allowed)]
    return found, []


def _values(wanted: Wanted) -> tuple[tuple[float, ...], list[str]]:
    """The values from low to high, and what is wrong with the range."""
    of_ratio = wanted.budget == "keep_ratio"
    low, high, step = wanted.low, wanted.high, wanted.resolution
    if of_ratio:
        low = LOW if low is None else low
        high = HIGH if high is None else high
        step = RESOLUTION if step is None else step
    faults = []
    for name, value in (("--low", low), ("--high", high), ("--resolution", step)):
        if of_ratio and (value is None or not 0 < value <= 1):
            faults.append(fault(name, value, "a number above 0 and at most 1"))
        elif not of_ratio and (value is None or not 1 <= value < 2**31 or value % 1):
            faults.append(fault(name, value, "an integer of 1 or more with --budget keep_tokens"))
    if faults:
        return (), faults
    assert low is not None
    assert high is not None
    assert step is not None
    if low >= high:
        return (), [fault("--low", low, f"below --high, {high:g}")]
    if step > high - low + 1e-9:
        return (), [fault("--resolution", step, f"at most --high less --low, {high - low:g}")]
    if (high - low) / step > MOST_VALUES:
        allowed = f"so much that at most {MOST_VALUES} values lie in {low:g} to {high:g}"
        return (), [fault("--resolution", step, allowed)]
    # As decimal numbers, because 0.1 + 2 * 0.1 is to be 0.3: the run of a sweep is the same.
    first, last, by = (Decimal(repr(value)) for value in (low, high, step))
    found = [first + by * n for n in range(int((last - first) / by) + 1)]
    found += [last] if found[-1] < last else []
    return tuple(float(value) if of_ratio else int(value) for value in found), []
