"""How much it is worth to a compressor of the KV cache to have seen the question."""

from __future__ import annotations

import re
from collections.abc import Sequence

from freqexp.comparing.comparison import Comparison, Row
from freqexp.comparing.deltas import shared_pairs
from freqexp.comparing.draws import pooled_rows
from freqexp.results.draws import is_drawn, without_draws
from freqexp.results.intervals import changes, interval
from freqexp.results.record import mean

_QUESTION = re.compile(r"(?:^|,)(?:\w+\.)?question=\w+")


def question_sentences(comparison: Comparison) -> list[str]:
    """A sentence for each method that was run with the question seen and unseen at the same budget:
    the paired difference of the scores, seen minus unseen, with its interval.
    """
    found = []
    for group, title in enumerate(comparison.groups):
        methods: dict[str, list[str]] = {}
        for seen, unseen in _both_ways(pooled_rows(comparison.of_group(group))):
            said = _difference(seen, unseen)
            if said:
                methods.setdefault(_name(unseen), []).append(said)
        found += [
            f"{name}: seeing the question before the cache is compressed is worth "
            f"{'; '.join(said)} ({title})"
            for name, said in methods.items()
        ]
    return found


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


def _difference(seen: Row, unseen: Row) -> str | None:
    """As in "+0.100 [+0.020, +0.180] at keep 0.5 on 64 samples (...)"; None below two pairs."""
    pairs, _ = shared_pairs(seen.run, unseen.run)
    if len(pairs) < 2:
        return None
    gained = _interval([(a.score or 0.0, b.score or 0.0) for a, b in pairs])
    words = seen.run.budget.words()
    at = f" at keep {words}" if words else ""
    more = []
    later = [
        (a.later_score, b.later_score)
        for a, b in pairs
        if a.later_score is not None and b.later_score is not None
    ]
    if len(later) > 1:
        more.append(f"from the second answer token on {_interval(later)}")
    shares = kv_share(seen), kv_share(unseen)
    if shares[0] is not None and shares[1] is not None:
        more.append(f"holding {100 * shares[0]:.1f} % of the cache, unseen {100 * shares[1]:.1f} %")
    return f"{gained}{at} on {len(pairs)} samples" + (f" ({'; '.join(more)})" if more else "")


def _interval(pairs: Sequence[tuple[float, float]]) -> str:
    differences = changes([ours for ours, _ in pairs], [base for _, base in pairs])
    low, high = interval(differences)
    return f"{mean(differences.values) or 0.0:+.3f} [{low:+.3f}, {high:+.3f}]"
