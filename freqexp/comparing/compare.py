"""Runs beside their baselines, on the same samples, with the statistics of every difference."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from operator import attrgetter

from freqexp.comparing.comparison import Comparison, Estimate, Row
from freqexp.comparing.conditions import condition_notes
from freqexp.comparing.deltas import with_deltas
from freqexp.comparing.load import Loaded
from freqexp.comparing.run import Run, same_settings
from freqexp.comparing.text import plain
from freqexp.config.differing import differing
from freqexp.config.title import reads_text
from freqexp.errors import UserError, fault
from freqexp.results.intervals import intervals, rate_interval, scores
from freqexp.results.mix import mix, rates
from freqexp.results.record import mean, median
from freqexp.results.stats import MARGIN
from freqexp.results.summary import FIGURES
from freqexp.results.table import missing_words
from freqexp.schemas.needles import NeedlesConfig

_FIGURES = attrgetter(*FIGURES)


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
        plain_pages = [run for run in [*bases, *runs] if _plain_pages(run)]
        for run in sorted(runs, key=lambda run: not run.is_baseline):
            base = None if run is named or run.is_baseline else _baseline(run, named, bases)
            rows.append(_row(run, index, base, [*filter(None, [base]), *plain_pages]))
    accuracies = _accuracies(rows)
    rows = [replace(row, accuracy=found) for row, found in zip(rows, accuracies, strict=True)]
    rows = with_deltas(rows, margin)
    notes += condition_notes(loaded.runs)
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
    """As in "tiny, 2 needles", with what tells apart those that would look alike: their settings,
    else the first run's id.
    """
    first = [runs[0] for runs in groups]
    names = [f"{run.model}, {_data(run)}" for run in first]
    for name in {name for name in names if names.count(name) > 1}:
        alike = [place for place, each in enumerate(names) if each == name]
        said = differing([first[place].config for place in alike])
        for place, settings in zip(alike, said, strict=True):
            names[place] = f"{name}, {plain(settings)}" if settings else name
    return tuple(
        name if names.count(name) == 1 else f"{name} (as run {plain(run.run_id)[:8]})"
        for name, run in zip(names, first, strict=True)
    )


def _data(run: Run) -> str:
    """The samples of a run in a few words: how many needles, and what makes them other ones."""
    near, text = run.setting("needles", "near"), run.setting("needles", "text")
    usual = NeedlesConfig(count=2)
    found = [f"{run.needles} needles"]
    found += [f"near {plain(near)}"] if near not in (None, usual.near) else []
    found += [f"{plain(text)} text"] if text not in (None, usual.text.name) else []
    return ", ".join(found)


def _baseline(run: Run, named: Run | None, bases: Sequence[Run]) -> Run | None:
    if named is not None:
        return named
    said = (run.summary or {}).get("baseline_run_id")
    for base in bases:
        if base.run_id == said:
            return base
    return max(bases, key=lambda base: len(run.records.keys() & base.records.keys()), default=None)


def _row(run: Run, group: int, baseline: Run | None, encoders: Sequence[Run]) -> Row:
    scored = [record for record in run.records.values() if record.score is not None]
    misses = sum(not record.prefix_hit for record in scored)
    columns = zip(*map(_FIGURES, scored), strict=True) if scored else ((),) * len(FIGURES)
    means = dict(zip(FIGURES, map(mean, columns), strict=True))
    failed = len(run.records) - len(scored)
    truncated = sum(bool(record.truncated) for record in scored)
    simulated = any(record.simulated for record in scored) if scored else None
    low, high = rate_interval(misses, len(scored)) if scored else (None, None)
    notes = ["simulated"] if simulated else []
    thinking = f" ({run.cut_off} while thinking)" if run.cut_off else ""
    notes += [f"{truncated} truncated{thinking}"] if truncated else []
    notes += [f"{failed} failed"] if failed else []
    notes += missing_words(means["missing_characters"], means["page_characters"])
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
        parts=rates(scored),
        mix=mix(scored),
        means=means,
        total_ms=_total_ms(run, encoders, mean),
        median_ms=_total_ms(run, encoders, median),
        simulated=simulated,
        notes=(*notes, *run.notes),
    )


Average = Callable[[Iterable[float | None]], float | None]


def _total_ms(run: Run, encoders: Sequence[Run], average: Average) -> float | None:
    """Milliseconds of a sample from page to answer, drawing left out.

    A run that found its pages encoded by another one still needs that encoding: the time of the
    first of `encoders` that made it counts. Nothing compressed takes no time.
    """

    def of(name: str, other: Run = run) -> float | None:
        scored = (record for record in other.records.values() if record.score is not None)
        return average(getattr(record, name) for record in scored)

    made = (of("encode_ms", other) for other in (run, *encoders))
    encode = next((ms for ms in made if ms is not None), None)
    parts = (encode, of("prefill_ms"), of("decode_ms"))
    if any(part is None for part in parts):
        return None
    return (of("compress_ms") or 0.0) + sum(part for part in parts if part is not None)


def _plain_pages(run: Run) -> bool:
    """Whether a run's model encoded the pages as they are drawn, as runs that share them do."""
    return not reads_text(run.compressor) and all(
        record.codec_ms is None for record in run.records.values()
    )


def _accuracies(rows: Sequence[Row]) -> list[Estimate | None]:
    lists = [list(row.run.scored.values()) for row in rows]
    spreads = iter(intervals([scores(each) for each in lists if len(each) > 1]))
    found: list[Estimate | None] = []
    for each in lists:
        value = mean(each)
        if value is None:
            found.append(None)
        elif len(each) == 1:
            found.append(Estimate(value=value))
        else:
            low, high = next(spreads)
            found.append(Estimate(value=value, low=low, high=high))
    return found
