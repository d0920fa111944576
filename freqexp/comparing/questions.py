"""How much it is worth to a compressor of the KV cache to have seen the question."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from freqexp.comparing.comparison import Comparison, Row
from freqexp.comparing.deltas import shared_pairs
from freqexp.comparing.draws import pooled_rows
from freqexp.results.draws import is_drawn, without_draws
from freqexp.results.intervals import Bounded, changes, intervals
from freqexp.results.record import mean

_QUESTION = re.compile(r"(?:^|,)(?:\w+\.)?question=\w+")


@dataclass(frozen=True)
class _Pair:
    """A method run both ways at one budget, with the differences of the scores on the samples that
    both scored, and of the scores from the second answer token on (None: fewer than two pairs).
    """

    seen: Row
    unseen: Row
    gained: Bounded
    later: Bounded | None


def question_sentences(comparison: Comparison) -> list[str]:
    """A sentence for each method that was run with the question seen and unseen at the same budget:
    the paired difference of the scores, seen minus unseen, with its interval.
    """
    pairs = [
        pair
        for group in range(len(comparison.groups))
        for seen, unseen in _both_ways(pooled_rows(comparison.of_group(group)))
        if (pair := _pair(seen, unseen)) is not None
    ]
    # Made together, which is many times quicker than one by one.
    wanted = [found for pair in pairs for found in (pair.gained, pair.later) if found is not None]
    ends = iter(intervals(wanted))
    methods: dict[tuple[int, str], list[str]] = {}
    for pair in pairs:
        gained = _words(pair.gained, next(ends))
        later = None if pair.later is None else _words(pair.later, next(ends))
        key = pair.seen.group, _name(pair.unseen)
        methods.setdefault(key, []).append(_said(pair, gained, later))
    return [
        f"{name}: seeing the question before the cache is compressed is worth {'; '.join(said)} "
        f"({comparison.groups[group]})"
        for (group, name), said in methods.items()
    ]


def kv_share(row: Row) -> float | None:
    """Bytes of the KV cache over those that the model made."""
    held, full = row.means.get("kv_cache_bytes"), row.means.get("kv_full_bytes")
    return held / full if full and held is not None else None


def _both_ways(rows: Sequence[Row]) -> list[tuple[Row, Row]]:
    """(seen, unseen) of each method and budget that was run once each way."""
    pairs: dict[object, dict[str, list[Row]]] = {}
    for row in rows:
        run = row.run
        if run.question is not None:
            key = _name(row), run.budget, run.profile
            pairs.setdefault(key, {"seen": [], "unseen": []})[run.question].append(row)
    found = [(both["seen"], both["unseen"]) for both in pairs.values()]
    return [(seen[0], unseen[0]) for seen, unseen in found if len(seen) == len(unseen) == 1]


def _name(row: Row) -> str:
    """The method with its options but the question."""
    run = row.run
    options = without_draws(run.options) if is_drawn(run.compressor) else run.options
    options = _QUESTION.sub("", options).lstrip(",")
    return f"{run.compressor} ({options})" if options else run.compressor


def _pair(seen: Row, unseen: Row) -> _Pair | None:
    """None below two samples that both scored."""
    pairs, _ = shared_pairs(seen.run, unseen.run)
    if len(pairs) < 2:
        return None
    later = [
        (ours.later_score, base.later_score)
        for ours, base in pairs
        if ours.later_score is not None and base.later_score is not None
    ]
    gained = _differences([(ours.score or 0.0, base.score or 0.0) for ours, base in pairs])
    return _Pair(seen, unseen, gained, _differences(later) if len(later) > 1 else None)


def _differences(pairs: Sequence[tuple[float, float]]) -> Bounded:
    return changes([ours for ours, _ in pairs], [base for _, base in pairs])


def _said(pair: _Pair, gained: str, later: str | None) -> str:
    """As in "+0.100 [+0.020, +0.180] at keep 0.5 on 64 samples (...)"."""
    words = pair.seen.run.budget.words()
    more = [] if later is None else [f"from the second answer token on {later}"]
    seen, unseen = kv_share(pair.seen), kv_share(pair.unseen)
    if seen is not None and unseen is not None:
        more.append(f"holding {100 * seen:.1f} % of the cache, unseen {100 * unseen:.1f} %")
    at = f" at keep {words}" if words else ""
    beside = f" ({'; '.join(more)})" if more else ""
    return f"{gained}{at} on {len(pair.gained.values)} samples{beside}"


def _words(differences: Bounded, ends: tuple[float, float]) -> str:
    low, high = ends
    return f"{mean(differences.values) or 0.0:+z.3f} [{low:+z.3f}, {high:+z.3f}]"
