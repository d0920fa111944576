"""Runs beside their baselines, on the same samples, with the statistics of every difference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from freqexp.errors import UserError, fault
from freqexp.record import Record, mean
from freqexp.report.load import Loaded, Run, same_settings
from freqexp.report.text import plain
from freqexp.stats import (
    MARGIN,
    bootstrap_intervals,
    holm,
    permutation_p_value,
    rate_interval,
    samples_needed,
    verdict,
    with_unseen_harm,
)
from freqexp.summary import FIGURES

SEED = 0
RIGHT = 0.5
"""A sample counts as right from this score on; a flip is a change of side."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number with its 95 % interval; the interval is None below two samples."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True)
class Delta:
    """A run against its baseline on the `pairs` samples that both scored.

    accuracy, prefix_miss: differences of the means, paired bootstrap. p_value: paired permutation
    test of the accuracy; p_holm: corrected for all comparisons of the report. worst: the lower end
    for non-inferiority (`with_unseen_harm`). verdict: non-inferiority at the
    margin. needed: samples for a difference of one point. lost, gained: samples that flipped.
    """

    pairs: int
    accuracy: Estimate
    prefix_miss: Estimate | None
    p_value: float
    p_holm: float | None
    worst: float
    verdict: str
    needed: int | None
    lost: int
    gained: int


@dataclass(frozen=True, kw_only=True)
class Row:
    """One run with everything the report says about it.

    group: index of the runs it may be compared with. means: of the scored samples where measured.
    total_ms: compress + encode + prefill + decode, None when one of them is not known.
    delta: None for a baseline and for a run without one. notes: what must not be missed.
    """

    run: Run
    group: int
    baseline: Run | None
    samples: int
    failed: int
    truncated: int
    accuracy: Estimate | None
    prefix_miss: Estimate | None
    similarity: float | None
    chance: float | None
    means: Mapping[str, float | None]
    total_ms: float | None
    simulated: bool | None
    delta: Delta | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All rows by group, baselines first; groups: what the runs of each have in common."""

    loaded: Loaded
    rows: tuple[Row, ...]
    groups: tuple[str, ...]
    margin: float
    notes: tuple[str, ...]

    def of_group(self, group: int) -> list[Row]:
        """The rows of one group."""
        return [row for row in self.rows if row.group == group]


def compare(loaded: Loaded, baseline: str | None = None, margin: float = MARGIN) -> Comparison:
    """Every run beside its baseline: the run named `baseline`, else the one its summary names, else
    the uncompressed run of the same model and data that shares most samples with it.

    Raises UserError when `baseline` is none of the runs.
    """
    named = _named(loaded.runs, baseline)
    grouped = _groups(loaded.runs)
    rows, notes = [], []
    for index, runs in enumerate(grouped):
        bases = [run for run in runs if run.is_baseline]
        for run in sorted(runs, key=lambda run: not run.is_baseline):
            base = None if run is named or run.is_baseline else _baseline(run, named, bases)
            rows.append(_row(run, index, base))
    accuracies = _accuracies(rows)
    rows = [replace(row, accuracy=found) for row, found in zip(rows, accuracies, strict=True)]
    rows = _with_deltas(rows, margin)
    notes += _version_notes(loaded.runs)
    titles = _group_titles(grouped)
    return Comparison(
        loaded=loaded, rows=tuple(rows), groups=titles, margin=margin, notes=tuple(notes)
    )


def _named(runs: Sequence[Run], name: str | None) -> Run | None:
    if name is None:
        return None
    for run in runs:
        if run.run_id.startswith(name) or str(run.folder) == name.rstrip("/"):
            return run
    raise UserError(fault("--baseline", name, ", ".join(plain(run.run_id) for run in runs[:12])))


def _groups(runs: Sequence[Run]) -> list[list[Run]]:
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(same_settings(run), []).append(run)
    return list(groups.values())


def _group_titles(groups: Sequence[Sequence[Run]]) -> tuple[str, ...]:
    """As in "tiny, 2 needles"; with the first run's id where two groups would look alike."""
    names = [f"{runs[0].model}, {runs[0].needles} needles" for runs in groups]
    return tuple(
        name if names.count(name) == 1 else f"{name} (as run {plain(runs[0].run_id)[:8]})"
        for name, runs in zip(names, groups, strict=True)
    )


def _baseline(run: Run, named: Run | None, bases: Sequence[Run]) -> Run | None:
    if named is not None:
        return named
    said = (run.summary or {}).get("baseline_run_id")
    for base in bases:
        if base.run_id == said:
            return base
    return max(bases, key=lambda base: len(run.records.keys() & base.records.keys()), default=None)


def _row(run: Run, group: int, baseline: Run | None) -> Row:
    scored = [record for record in run.records.values() if record.score is not None]
    misses = sum(not record.prefix_hit for record in scored)
    means = {name: mean(getattr(record, name, None) for record in scored) for name in FIGURES}
    failed = len(run.records) - len(scored)
    truncated = sum(bool(record.truncated) for record in scored)
    simulated = any(record.simulated for record in scored) if scored else None
    low, high = rate_interval(misses, len(scored)) if scored else (None, None)
    notes = ["simulated"] if simulated else []
    notes += [f"{truncated} truncated"] if truncated else []
    notes += [f"{failed} failed"] if failed else []
    notes += ["added as baseline"] if run.added else []
    if baseline is None and not run.is_baseline:
        notes.append("no baseline")
    return Row(
        run=run,
        group=group,
        baseline=baseline,
        samples=len(scored),
        failed=failed,
        truncated=truncated,
        accuracy=None,
        prefix_miss=Estimate(value=misses / len(scored), low=low, high=high) if scored else None,
        similarity=mean(record.similarity for record in scored),
        chance=mean(record.chance for record in scored),
        means=means,
        total_ms=_total_ms(means, baseline),
        simulated=simulated,
        notes=(*notes, *run.notes),
    )


def _total_ms(means: Mapping[str, float | None], baseline: Run | None) -> float | None:
    """Milliseconds of a sample from page to answer, drawing left out.

    A run that found its pages encoded by the baseline still needs that encoding: the baseline's
    time counts. Nothing compressed takes no time.
    """
    encode = means["encode_ms"]
    if encode is None and baseline is not None:
        encode = mean(record.encode_ms for record in baseline.records.values())
    parts = (encode, means["prefill_ms"], means["decode_ms"])
    if any(part is None for part in parts):
        return None
    return (means["compress_ms"] or 0.0) + sum(part for part in parts if part is not None)


def _accuracies(rows: Sequence[Row]) -> list[Estimate | None]:
    lists = [list(row.run.scored.values()) for row in rows]
    intervals = iter(bootstrap_intervals([scores for scores in lists if len(scores) > 1], SEED))
    found: list[Estimate | None] = []
    for scores in lists:
        value = mean(scores)
        if value is None:
            found.append(None)
        elif len(scores) == 1:
            found.append(Estimate(value=value))
        else:
            low, high = next(intervals)
            found.append(Estimate(value=value, low=low, high=high))
    return found


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


def _with_deltas(rows: Sequence[Row], margin: float) -> list[Row]:
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
    """Whether a scored sample counts as right when flips are counted."""
    return record.score is not None and record.score >= RIGHT


def _version_notes(runs: Sequence[Run]) -> list[str]:
    """What differs between the runs besides their configuration."""
    notes = []
    codes = {str(run.provenance.get("code_hash")) for run in runs}
    if len(codes) > 1:
        notes.append(f"the runs come from {len(codes)} states of the code that can change a score")
    packages: dict[str, set[str]] = {}
    for run in runs:
        versions = run.provenance.get("versions")
        for name, number in (versions if isinstance(versions, dict) else {}).items():
            packages.setdefault(plain(name), set()).add(plain(number))
    differing = [
        f"{name} {', '.join(sorted(numbers))}"
        for name, numbers in sorted(packages.items())
        if len(numbers) > 1
    ]
    if differing:
        notes.append(f"the runs used different versions of {'; '.join(differing)}")
    if any(run.provenance.get("dirty") for run in runs):
        notes.append("some runs come from code with changes that were not committed")
    return notes
