"""What runs that score no more than chance did: whether they still found the place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from freqexp.comparing.comparison import Comparison, Row
from freqexp.results.mix import DERAILED, DRIFTED, EXACT, MISSED, NEAR
from freqexp.results.record import Record

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

LEVEL = 0.01
"""A run surely begins at the right place when chance alone would so often in fewer runs of 100 than
one."""
SENTENCES = 12


def chance_sentences(comparison: Comparison) -> list[str]:
    """A sentence for each run that is not surely above chance: what its answers are."""
    rows = [row for row in comparison.rows if _not_above_chance(row)]
    apart = [row for row in rows if row.parts["copied_share"] is not None]
    found = [f"{_sentence(row)} ({comparison.groups[row.group]})" for row in apart[:SENTENCES]]
    if len(apart) > SENTENCES:
        found.append(
            f"not above chance either, see their answers: {len(apart) - SENTENCES} more runs"
        )
    if len(apart) < len(rows):
        found.append(
            f"{len(rows) - len(apart)} runs are not above chance, and were recorded before scores "
            "were taken apart: whether they found the place is not known"
        )
    return found


def _not_above_chance(row: Row) -> bool:
    if row.accuracy is None or row.chance is None:
        return False
    low = row.accuracy.value if row.accuracy.low is None else row.accuracy.low
    return low <= row.chance


def _sentence(row: Row) -> str:
    assert row.accuracy is not None
    assert row.chance is not None
    high = row.accuracy.value if row.accuracy.high is None else row.accuracy.high
    where = "below" if high < row.chance else "at"
    score = f"{row.run.title()} scores {row.accuracy.value:.3f}, {where} chance {row.chance:.3f}"
    missed = f"misses the prefix in {row.mix[MISSED]} of {row.samples} answers"
    placed = [r for r in row.run.records.values() if r.right_place is not None]
    if not placed:
        return f"{score}: it {missed}"
    hits = sum(bool(record.right_place) for record in placed)
    chances = place_chances(placed)
    sure = at_least(hits, chances) < LEVEL
    derailed = sum(bool(r.derailed) for r in row.run.records.values() if r.score is not None)
    did = [f"begins at the right place in {hits} of {len(placed)} ({sum(chances):.1f} by chance)"]
    did += [f"derails in {derailed}"] if derailed else []
    copies = sum(r.wrong_turn is not None for r in row.run.records.values())
    did += [f"copies another turn in {copies}"] if 10 * copies >= row.samples else []
    did += [missed] if 2 * row.mix[MISSED] >= row.samples else []
    listed = " and ".join(filter(None, (", ".join(did[:-1]), did[-1])))
    if not sure:
        return f"{score}, and {listed}: nothing shows that it finds the turn"
    broken = row.mix[DERAILED] + row.mix[DRIFTED] > row.mix[EXACT] + row.mix[NEAR]
    broken_off = "copying breaks, retrieval does not wholly"
    return f"{score}, but {listed}: {broken_off if broken else 'it finds the turn in some'}"


def place_chances(placed: Sequence[Record]) -> list[float]:
    """For each record with a place, how often its reply would begin there without looking: the
    larger of how many other turns begin so and how many of the run's own replies do.

    The second is for a reader that begins every reply with the same frequent word.
    """
    starts = [_wanted(record)[: record.place_chars] for record in placed]
    replies = [_reply(record) for record in placed]
    lengths = set(map(len, starts))
    seen = Counter(
        reply[:length] for reply in replies for length in lengths if len(reply) >= length
    )
    return [
        max(record.place_chance or 0.0, seen[start] / len(placed))
        for record, start in zip(placed, starts, strict=True)
    ]


def _wanted(record: Record) -> str:
    return record.expected.removeprefix(record.prefix or "").lstrip()


def _reply(record: Record) -> str:
    return (record.answer or "").removeprefix(record.prefix or "").lstrip()


def at_least(hits: int, chances: Sequence[float]) -> float:
    """Probability of at least `hits` successes in independent trials of these chances
    (Poisson-binomial, exact).
    """
    import numpy as np

    exactly: npt.NDArray[np.float64] = np.ones(1)
    for chance in chances:
        grown = np.append(exactly * (1 - chance), 0.0)
        grown[1:] += exactly * chance
        exactly = grown
    return min(1.0, float(exactly[hits:].sum()))
