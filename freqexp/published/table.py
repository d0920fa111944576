"""Runs beside a published table: its numbers, and its method taken apart."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from freqexp.comparing.comparison import Comparison, Delta, Row
from freqexp.published.cells import Cell, Verdict, Z, mean_error, published_error, tolerance
from freqexp.published.numbers import Published, PublishedCell, matches
from freqexp.results.intervals import interval as interval_of
from freqexp.results.intervals import measures
from freqexp.results.record import Record, mean
from freqexp.results.table import interval

KB = 1000
SCORES = ("accuracy", "delta")
"""Figures that are printed in percent and points."""
NOT_RUN = "not among the runs"


@dataclass(frozen=True, kw_only=True)
class PartLine:
    """A method with some steps off: what it costs. verdict: non-inferiority at the margin."""

    name: str
    accuracy: str
    delta: str
    verdict: str
    tokens: str


def cells(published: Published, comparison: Comparison) -> list[Cell]:
    """Every published number beside every run it is a number of, in the table's order."""
    found = []
    for cell in published.cells:
        rows = [row for row in comparison.rows if matches(row.run, cell.run)]
        found += [_cell(cell, row, published) for row in rows] or [_absent(cell)]
    return found


def _absent(cell: PublishedCell) -> Cell:
    return Cell(
        run=cell.name,
        figure=cell.figure,
        then=published_text(cell),
        now="-",
        verdict=Verdict.not_comparable,
        reason=NOT_RUN,
        expected=cell.published,
    )


def obstacles(cell: PublishedCell, row: Row, published: Published) -> list[str]:
    """Why a run says nothing about a published number; empty when it does."""
    reasons = []
    if not cell.any_model:
        if row.run.model not in published.models:
            reasons.append(f"{row.run.model}, published: {', '.join(published.models)}")
        if published.files and row.run.setting("needles", "path") is None:
            reasons.append("generated samples, published: openai/mrcr (needles.path)")
        if row.run.setting("needles", "bucket") is not None:
            reasons.append("one length bucket, published: all")
    if cell.machine:
        reasons.append("time of another machine")
    if not row.run.ended:
        reasons.append("the run is not finished")
    return reasons


def _cell(cell: PublishedCell, row: Row, published: Published) -> Cell:
    values = _values(cell, row)
    value = mean(values)
    reasons = obstacles(cell, row, published)
    if value is None:
        reasons.append("not measured")
    error = _published_side(cell, row)
    if error is None:
        reasons.append("its sample count is not published")
    difference, verdict = "", Verdict.not_comparable
    if not reasons and error is not None and value is not None:
        rounding = 0.0 if cell.digits is None else 0.5 * 10.0**-cell.digits
        allowed = tolerance(mean_error(values), error) + rounding
        gap = value - cell.published
        scale = 100 if cell.figure in SCORES else 1
        unit = " points" if scale == 100 else ""
        difference = f"{gap * scale:+z.2f}{unit}, tolerance ±{allowed * scale:.2f}"
        verdict = Verdict.reproduced if abs(gap) <= allowed else Verdict.differs
    low, high = _ends(cell, row, values)
    return Cell(
        run=cell.name,
        figure=cell.figure,
        then=published_text(cell),
        now=_measured_text(cell, value, low, high),
        verdict=verdict,
        difference=difference,
        reason="; ".join(reasons),
        where=measured_on(row),
        expected=cell.published,
        value=value,
        low=low,
        high=high,
    )


def _ends(
    cell: PublishedCell, row: Row, values: Sequence[float]
) -> tuple[float | None, float | None]:
    """The 95 % interval of our number: of scores the one that stands in every table."""
    if cell.figure in SCORES:
        delta = None if row.delta is None else row.delta.accuracy
        estimate = row.accuracy if cell.figure == "accuracy" else delta
        return (None, None) if estimate is None else (estimate.low, estimate.high)
    return interval_of(measures(values)) if len(values) > 1 else (None, None)


def measured_on(row: Row) -> str:
    """The model and the number of samples of a run's figures."""
    return f"{row.run.model}, {row.samples} samples"


def published_text(cell: PublishedCell) -> str:
    """A published number as it was printed."""
    if cell.figure == "delta":
        return f"{100 * cell.published:+z.2f} points"
    if cell.figure == "accuracy":
        return f"{100 * cell.published:.2f} %"
    return f"{cell.published:.{cell.digits or 0}f}"


def _values(cell: PublishedCell, row: Row) -> list[float]:
    """The figure of each sample of our run; the paired differences for a delta."""
    if cell.figure == "accuracy":
        return list(row.run.scored.values())
    if cell.figure == "delta":
        return differences(row)
    return [v for record in scored(row) if (v := figure_of(cell.figure, record)) is not None]


def _measured_text(
    cell: PublishedCell, value: float | None, low: float | None, high: float | None
) -> str:
    """Our number with its interval, in the unit of the published one."""
    if value is None:
        return "-"
    percent = cell.figure in SCORES
    scale, sign = (100 if percent else 1), ("+" if cell.figure == "delta" else "")
    digits = 2 if percent else max(cell.digits or 0, 2)
    unit = {"accuracy": " %", "delta": " points"}.get(cell.figure, "")
    text = f"{value * scale:{sign}.{digits}f}"
    if low is not None and high is not None:
        text += f" [{low * scale:{sign}.{digits}f}, {high * scale:{sign}.{digits}f}]"
    return text + unit


def _published_side(cell: PublishedCell, row: Row) -> float | None:
    """Standard error of the published number; None when it can't be known.

    A paired difference has no bound from the scores alone, so our own interval stands in, as wide
    as it would be with the published number of samples.
    """
    if cell.digits is not None:
        return 0.0
    if cell.samples is None:
        return None
    if cell.figure == "delta":
        ours = row.delta
        if ours is None or ours.accuracy.low is None or ours.accuracy.high is None:
            return None
        width = ours.accuracy.high - ours.accuracy.low
        return width / (2 * Z) * math.sqrt(ours.pairs / cell.samples)
    return published_error(cell.published, cell.samples)


def figure_of(name: str, record: Record) -> float | None:
    """A measured figure of one sample; None where it was not measured."""
    pages = record.pages or 0
    if name == "nominal_ratio":
        return record.nominal_ratio
    if name == "tokens_kept":
        kept, of = record.vision_tokens_out, record.vision_tokens_in
        return None if kept is None or not of else kept / of
    if not pages:
        return None
    if name == "page_kb":
        return None if record.png_bytes is None else record.png_bytes / pages / KB
    if name == "page_kb_after":
        after = stored_after(record)
        return None if after is None else after / pages / KB
    assert name == "codec_ms_a_page"
    return None if record.codec_ms is None else record.codec_ms / pages


def stored_after(record: Record) -> float | None:
    """Bytes of the pages after a codec: its bitstream, without one the PNGs of what it gave."""
    return record.png_bytes_after if record.stored_bytes is None else record.stored_bytes


def scored(row: Row) -> list[Record]:
    """The records that have a score."""
    return [record for record in row.run.records.values() if record.score is not None]


def differences(row: Row) -> list[float]:
    """Paired differences to the baseline on shared samples; [] without a baseline."""
    if row.baseline is None:
        return []
    ours, theirs = row.run.scored, row.baseline.scored
    return [ours[key] - theirs[key] for key in sorted(ours.keys() & theirs.keys())]


def _difference(delta: Delta | None) -> str:
    found = None if delta is None else delta.accuracy
    return "-" if found is None else interval(found.value, found.low, found.high, sign=True)


def part_lines(published: Published, comparison: Comparison) -> list[PartLine]:
    """The parts of a method beside each other, and what breaks the model."""
    lines = []
    for part in published.parts:
        for row in comparison.rows:
            if not matches(row.run, part.run) or row.accuracy is None:
                continue
            a, d = row.accuracy, row.delta
            kept, of = row.means.get("vision_tokens_out"), row.means.get("vision_tokens_in")
            lines.append(
                PartLine(
                    name=part.name,
                    accuracy=interval(a.value, a.low, a.high),
                    delta=_difference(d),
                    verdict="-" if d is None else d.verdict,
                    tokens="-" if kept is None or of is None else f"{of:.0f} -> {kept:.0f}",
                )
            )
    return lines


def published_significance(cells: Iterable[PublishedCell]) -> Sequence[str]:
    """What the published differences say by themselves: within their sampling error or not."""
    said = []
    for cell in cells:
        if cell.figure != "delta" or cell.samples is None or cell.of is None:
            continue
        error = published_error(cell.of, cell.samples)
        other = published_error(cell.of + cell.published, cell.samples)
        bound = tolerance(error, other)
        inside = "within" if abs(cell.published) <= bound else "beyond"
        said.append(
            f"published {cell.name}: {100 * cell.published:+z.2f} points is {inside} the sampling "
            f"error of {cell.samples} samples (±{100 * bound:.1f} points unpaired; no paired "
            "interval is published)"
        )
    return said
