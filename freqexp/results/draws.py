"""Runs that differ by nothing but the seed of a random method: draws of one method."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from freqexp.results.record import mean
from freqexp.results.summary import Summary

RANDOM = frozenset({"random_prune", "kv_random"})
LEAST_DRAWS = 3
"""Fewer say nothing of a spread."""
_DRAWS = re.compile(r"(?:^|, )\d+ draws$")
_SEED = re.compile(r"(?:^|,)((?:token\.|kv\.)?seed=\d+)")


@dataclass(frozen=True)
class Drawn:
    """One row of a table. draws: the accuracies of its draws; () for a method without them."""

    summary: Summary
    draws: tuple[float, ...] = ()

    def note(self) -> str:
        """As in "3 seeds: 0.212 to 0.231" or "1 draw"; "" for a method without draws."""
        return spread(self.draws)


def is_drawn(compressor: str) -> bool:
    """Whether a method, or a part of a combination, is random."""
    return not RANDOM.isdisjoint(compressor.split("+"))


def seed_of(options: str) -> str:
    """What a run's options say of its seed, or of both in a combination; "" of the default's."""
    return ",".join(_SEED.findall(options))


def without_seed(options: str) -> str:
    """The options without seeds."""
    return _SEED.sub("", options).lstrip(",")


def without_draws(options: str) -> str:
    """The options without the seed, and without how many draws were taken together."""
    return _DRAWS.sub("", without_seed(options))


def spread(draws: Sequence[float]) -> str:
    """The lowest and highest of at least three draws, else how many there are."""
    if len(draws) < LEAST_DRAWS:
        return f"{len(draws)} draw{'s' * (len(draws) > 1)}" if draws else ""
    return f"{len(draws)} seeds: {min(draws):.3f} to {max(draws):.3f}"


def pooled(summaries: Sequence[Summary]) -> list[Drawn]:
    """Summaries with the draws of one method as one: means of all numbers, in its first's place.

    The mean of the intervals' ends is at most too wide an interval of the mean: the spread of a
    mean is never above the mean of the spreads.
    """
    groups: dict[object, list[Summary]] = {}
    for summary in summaries:
        key: object = summary.run_id
        if is_drawn(summary.compressor):
            kept = summary.keep_ratio, summary.keep_tokens, summary.keep_like
            model = summary.model, summary.needles, summary.samples, summary.samples_asked
            key = model, summary.compressor, without_seed(summary.options), kept, summary.profile
            key = key, summary.baseline_run_id
        groups.setdefault(key, []).append(summary)
    found: list[Drawn] = []
    for same in groups.values():
        distinct = len({seed_of(summary.options) for summary in same}) == len(same)
        found += [_one(same)] if distinct else [_one([summary]) for summary in same]
    return found


def _one(same: Sequence[Summary]) -> Drawn:
    first = same[0]
    if not is_drawn(first.compressor):
        return Drawn(first)
    draws = tuple(s.accuracy for s in same if s.accuracy is not None)
    if len(same) == 1:
        return Drawn(first, draws)
    means = {
        name: mean(getattr(summary, name) for summary in same)
        for name, value in vars(first).items()
        if isinstance(value, float) and name not in ("keep_ratio", "p_value")
    }
    changes = {"options": without_seed(first.options), "p_value": None, **means}
    # Rounded up: where one draw failed, the row says so.
    names = ("truncated", "cut_off", "failed")
    totals = {name: sum(getattr(s, name) for s in same) for name in names}
    counts = {name: -(-total // len(same)) for name, total in totals.items()}
    return Drawn(replace(first, **changes, **counts), draws)  # type: ignore[arg-type]
