"""Differences of runs to their baselines on shared samples, with their statistics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from freqexp.comparing.comparison import Delta, Estimate, Row
from freqexp.comparing.run import Run
from freqexp.results.mix import RIGHT
from freqexp.results.record import Record, mean
from freqexp.results.stats import (
    bootstrap_intervals,
    holm,
    permutation_p_value,
    samples_needed,
    verdict,
    with_unseen_harm,
)

SEED = 0
Pairs = list[tuple[Record, Record]]


def _pairs(run: Run, baseline: Run) -> tuple[Pairs, list[str]]:
    """Records of the samples that both scored, and what keeps others out.

    A sample is the same when id and expected answer are.
    """
    ours = {key: r for key, r in run.records.items() if r.score is not None}
    theirs = {key: r for key, r in baseline.records.items() if r.score is not None}
    shared = sorted(ours.keys() & theirs.keys())
    same = [key for key in shared if ours[key].expected == theirs[key].expected]
    notes = []
    if len(same) < len(shared):
        notes.append(
            f"{len(shared) - len(same)} samples expect another answer than the baseline's, left out"
        )
    if len(same) < max(len(ours), len(theirs)):
        notes.append(
            f"compared on the {len(same)} shared samples (of {len(ours)}, baseline {len(theirs)})"
        )
    return [(ours[key], theirs[key]) for key in same], notes


def with_deltas(rows: Sequence[Row], margin: float) -> list[Row]:
    """Rows with their differences; all intervals are made together, Holm runs over all rows."""
    done = list(rows)
    wanted: list[int] = []
    pairs: list[Pairs] = []
    for index, row in enumerate(rows):
        if row.baseline is None:
            continue
        found, notes = _pairs(row.run, row.baseline)
        if len(found) < 2:
            notes = [f"not compared: {len(found)} samples in common with its baseline"]
        else:
            wanted.append(index)
            pairs.append(found)
        done[index] = replace(row, notes=(*row.notes, *notes))
    scores = [[(a.score or 0.0) - (b.score or 0.0) for a, b in found] for found in pairs]
    misses = [
        [float(not a.prefix_hit) - float(not b.prefix_hit) for a, b in found] for found in pairs
    ]
    padded = [with_unseen_harm(differences) for differences in scores]
    intervals = bootstrap_intervals([*scores, *misses], SEED)
    worst = [low for low, _ in bootstrap_intervals(padded, SEED)]
    p_values = [permutation_p_value(differences, SEED) for differences in scores]
    corrected = holm(p_values)
    for place, index in enumerate(wanted):
        accuracy = _estimate(scores[place], intervals[place])
        delta = Delta(
            pairs=len(pairs[place]),
            accuracy=accuracy,
            prefix_miss=_estimate(misses[place], intervals[len(pairs) + place]),
            p_value=p_values[place],
            p_holm=corrected[place],
            worst=worst[place],
            verdict=verdict(worst[place], accuracy.high or 0.0, margin),
            needed=samples_needed(padded[place]),
            lost=sum(is_right(b) and not is_right(a) for a, b in pairs[place]),
            gained=sum(is_right(a) and not is_right(b) for a, b in pairs[place]),
        )
        done[index] = replace(done[index], delta=delta)
    return done


def _estimate(values: Sequence[float], interval: tuple[float, float]) -> Estimate:
    return Estimate(value=mean(values) or 0.0, low=interval[0], high=interval[1])


def is_right(record: Record) -> bool:
    """Whether a scored sample counts as right; a flip is a change of side."""
    return record.score is not None and record.score >= RIGHT
