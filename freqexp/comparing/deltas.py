"""Differences of runs to their baselines on shared samples, with their statistics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from freqexp.comparing.comparison import Delta, Estimate, Row
from freqexp.comparing.run import Run
from freqexp.results.intervals import Bounded, changes, intervals
from freqexp.results.mix import RIGHT
from freqexp.results.power import samples_for_loss, samples_for_non_inferiority
from freqexp.results.record import Record, mean
from freqexp.results.stats import holm, permutation_p_value, verdict

Pairs = list[tuple[Record, Record]]


def shared_pairs(run: Run, baseline: Run) -> tuple[Pairs, list[str]]:
    """Records (ours, theirs) of the samples that both scored, and what keeps others out.

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
        found, notes = shared_pairs(row.run, row.baseline)
        if len(found) < 2:
            notes = [f"not compared: {len(found)} samples in common with its baseline"]
        else:
            wanted.append(index)
            pairs.append(found)
        done[index] = replace(row, notes=(*row.notes, *notes))
    scores = [
        changes([a.score or 0.0 for a, _ in found], [b.score or 0.0 for _, b in found])
        for found in pairs
    ]
    misses = [
        changes(
            [float(not a.prefix_hit) for a, _ in found], [float(not b.prefix_hit) for _, b in found]
        )
        for found in pairs
    ]
    estimates = [
        Estimate(value=mean(differences.values) or 0.0, low=low, high=high)
        for differences, (low, high) in zip(
            [*scores, *misses], intervals([*scores, *misses]), strict=True
        )
    ]
    p_values = [permutation_p_value(differences.values) for differences in scores]
    corrected = holm(p_values)
    for place, index in enumerate(wanted):
        accuracy = estimates[place]
        said = verdict(accuracy.low or 0.0, accuracy.high or 0.0, margin)
        enough, loss = _needed(scores[place], accuracy, said, margin)
        delta = Delta(
            pairs=len(pairs[place]),
            accuracy=accuracy,
            prefix_miss=estimates[len(pairs) + place],
            p_value=p_values[place],
            p_holm=corrected[place],
            verdict=said,
            needed_non_inferior=enough,
            needed_loss=loss,
            lost=sum(is_right(b) and not is_right(a) for a, b in pairs[place]),
            gained=sum(is_right(a) and not is_right(b) for a, b in pairs[place]),
        )
        done[index] = replace(done[index], delta=delta)
    return done


def _needed(
    differences: Bounded, accuracy: Estimate, said: str, margin: float
) -> tuple[int | None, int | None]:
    """Samples needed to call no difference non-inferior, and to see a loss of `margin`; None where
    the samples at hand have answered.
    """
    low, high = accuracy.low or 0.0, accuracy.high or 0.0
    if low > 0 or high < 0:
        return None, None
    enough = None if said != "undecided" else samples_for_non_inferiority(differences, margin)
    return enough, samples_for_loss(differences, margin)


def is_right(record: Record) -> bool:
    """Whether a scored sample counts as right; a flip is a change of side."""
    return record.score is not None and record.score >= RIGHT
