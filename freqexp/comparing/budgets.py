"""Accuracy at equal budgets: the Pareto set, and whether a method beats the simple controls.

A nominal ratio is no budget. What counts was measured: bytes that are stored, tokens the decoder
saw, bytes of its cache, milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from freqexp.comparing.comparison import Comparison, Row
from freqexp.results.stats import bootstrap_intervals
from freqexp.schemas.compressor import controls

CONTROLS = controls()
"""Compressors that any method must beat to be worth its name. The baseline is one, too."""

SEED = 0


@dataclass(frozen=True)
class Axis:
    """A budget: what is measured, its unit for people and how many make one such unit."""

    name: str
    title: str
    unit: str
    scale: float
    cost: Callable[[Row], float | None]


def _stored(row: Row) -> float | None:
    """Bytes that keep a sample; for the baseline the smallest lossless image of its pages."""
    stored = row.means.get("stored_bytes")
    if stored is None and row.run.is_baseline:
        lossless = [row.means.get(name) for name in ("lossless_bytes", "png_bytes")]
        stored = min((size for size in lossless if size is not None), default=None)
    return stored


AXES = (
    Axis("stored_bytes", "stored size", "KiB a sample", 1024, _stored),
    Axis(
        "decoder_tokens",
        "decoder tokens",
        "tokens a sample",
        1,
        lambda row: row.means.get("decoder_tokens"),
    ),
    Axis(
        "kv_cache_bytes",
        "KV cache",
        "MiB a sample",
        2**20,
        lambda row: row.means.get("kv_cache_bytes"),
    ),
    Axis("total_ms", "time from page to answer", "ms a sample", 1, lambda row: row.total_ms),
)


@dataclass(frozen=True)
class Point:
    """A run on an axis."""

    row: Row
    cost: float
    accuracy: float


def points(rows: Sequence[Row], axis: Axis) -> list[Point]:
    """The runs whose cost and accuracy are known."""
    return [
        Point(row, cost, row.accuracy.value)
        for row in rows
        if row.accuracy is not None and (cost := axis.cost(row)) is not None
    ]


def pareto(found: Sequence[Point]) -> list[Point]:
    """Points that no other one equals at less cost or beats at no more, cheapest first."""
    best: list[Point] = []
    for point in sorted(found, key=lambda point: (point.cost, -point.accuracy)):
        if not best or point.accuracy > best[-1].accuracy:
            best.append(point)
    return best


@dataclass(frozen=True)
class Gate:
    """What became of a method's contest with the controls of its group.

    verdict: "passes": at some budget it is above every control that costs no more, all through the
    interval of the paired difference. "ahead": only its mean is. "fails": no budget lets it beat
    them. "untested": no control was run.
    """

    group: int
    method: str
    verdict: str
    reason: str


def gates(comparison: Comparison) -> list[Gate]:
    """One for each method and group; the controls themselves have none."""
    found = []
    for group in range(len(comparison.groups)):
        rows = comparison.of_group(group)
        methods = dict.fromkeys(
            row.run.compressor
            for row in rows
            if not row.run.is_baseline and row.run.compressor not in CONTROLS
        )
        found += [_gate(group, method, rows) for method in methods]
    return found


def _gate(group: int, method: str, rows: Sequence[Row]) -> Gate:
    if not any(row.run.compressor in CONTROLS for row in rows):
        return Gate(group, method, "untested", "no control was run in this group")
    verdict, reason = "fails", "at every budget a control or the baseline is as accurate"
    for axis in AXES:
        found = points(rows, axis)
        controls = [p for p in found if p.row.run.is_baseline or p.row.run.compressor in CONTROLS]
        for point in found:
            rivals = [control for control in controls if control.cost <= point.cost]
            if point.row.run.compressor != method or not rivals:
                continue
            rival = max(rivals, key=lambda rival: rival.accuracy)
            if point.accuracy <= rival.accuracy:
                continue
            where = (
                f"{point.row.run.title()} against {rival.row.run.title()}, "
                f"{axis.title} {point.cost / axis.scale:.4g} {axis.unit}"
            )
            if _surely_above(point.row, rival.row):
                return Gate(group, method, "passes", where)
            verdict, reason = "ahead", f"{where}; the interval of the difference holds zero"
    return Gate(group, method, verdict, reason)


def _surely_above(row: Row, rival: Row) -> bool:
    ours, theirs = row.run.scored, rival.run.scored
    differences = [ours[key] - theirs[key] for key in sorted(ours.keys() & theirs.keys())]
    return len(differences) > 1 and bootstrap_intervals([differences], SEED)[0][0] > 0


def absent_controls(rows: Sequence[Row]) -> list[str]:
    """Names of the controls that none of these rows ran."""
    present = {row.run.compressor for row in rows}
    return [name for name in CONTROLS if name not in present]


def pareto_axes(comparison: Comparison) -> dict[str, list[str]]:
    """Run id -> names of the axes on whose Pareto set (within its group) the run lies."""
    on: dict[str, list[str]] = {}
    for group in range(len(comparison.groups)):
        for axis in AXES:
            found = points(comparison.of_group(group), axis)
            for point in pareto(found) if len(found) > 1 else ():
                on.setdefault(point.row.run.run_id, []).append(axis.name)
    return on
