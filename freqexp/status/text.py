"""A sweep's status as text for a terminal and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from freqexp.status.points import STATES, PointStatus, SweepStatus, overall

DASH = "-"
LEAST_WIDTH = 40


def plain(text: str) -> str:
    """`text` with everything that a terminal could obey, or that hides, written out as escapes."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in text
    )


def cut(text: str, width: int) -> str:
    """At most `width` characters."""
    return text if len(text) <= width else text[: width - 3] + "..."


def duration(seconds: float | None) -> str:
    """As in `45 s`, `12 min`, `3.5 h`, `2.1 d`."""
    if seconds is None:
        return DASH
    for limit, unit, digits in ((90, 1, 0), (90 * 60, 60, 0), (48 * 3600, 3600, 1)):
        if seconds < limit:
            return f"{seconds / unit:.{digits}f} {({1: 's', 60: 'min', 3600: 'h'})[unit]}"
    return f"{seconds / 86400:.1f} d"


def per_minute(rate: float | None) -> str:
    """Samples a second as samples a minute."""
    return DASH if rate is None else f"{rate * 60:.3g}/min"


def samples(done: int, failed: int, total: int | None) -> str:
    """As in `12/64` or `12/64 (2 failed)`."""
    faults = f" ({failed} failed)" if failed else ""
    return f"{done}/{total if total is not None else '?'}{faults}"


def render(status: SweepStatus, width: int, limit: int | None = None) -> str:
    """The table with what wants attention last.

    width: characters of a line. limit: at most so many points; those in the states that need no
    attention are left out first, and counted.
    """
    width = max(width, LEAST_WIDTH)
    shown, hidden = choose(status.points, limit)
    rows: list[tuple[str, ...]] = [("state", "samples", "rate", "left", "run", "point")]
    rows += [row(point) for point in shown]
    widths = [max(len(line[column]) for line in rows) for column in range(len(rows[0]) - 1)]
    lines = [f"sweep {plain(status.name)}: {plain(str(status.file))}"]
    for index, cells in enumerate(rows):
        padded = [cell.ljust(size) for cell, size in zip(cells, widths, strict=False)]
        lines.append(cut("  ".join([*padded, cells[-1]]).rstrip(), width))
        if index:
            lines += details(shown[index - 1], width)
    if hidden:
        lines.append(f"and {in_states(hidden)} (--all shows them)")
    if status.warning:
        lines.append(cut(f"warning: {plain(status.warning)}", 2 * width))
    return "\n".join([*lines, *closing(status)])


def choose(
    points: Sequence[PointStatus], limit: int | None
) -> tuple[list[PointStatus], dict[str, int]]:
    """The points to show, those that want attention last, and how many others by their state."""
    ranked = sorted(points, key=lambda point: STATES.index(point.state))
    kept = ranked if limit is None else ranked[:limit]
    rest = [point.state for point in ranked[len(kept) :]]
    hidden = {state: rest.count(state) for state in STATES if state in rest}
    # Sorting is stable: within a state the order is the command's.
    return sorted(kept, key=lambda point: -STATES.index(point.state)), hidden


def row(point: PointStatus) -> tuple[str, ...]:
    """The cells of one point."""
    run = point.run
    return (
        point.state,
        samples(run.scored, run.failed, run.total),
        per_minute(point.rate),
        duration(point.left),
        plain(run.run_id),
        plain(run.label),
    )


def details(point: PointStatus, width: int) -> list[str]:
    """Why a point is in its state, and its log, where there is something to look for."""
    if point.note is None and point.state in ("done", "running", "pending"):
        return []
    lines = []
    if point.note is not None:
        lines.append(cut(f"    {plain(point.note)}", width))
    if point.state not in ("pending", "requeued"):
        lines += [f"    {plain(str(file))}" for file in places(point)]
    return lines


def places(point: PointStatus) -> list[Path]:
    """Files that say more: the job's log, and the traceback if the run ended with one."""
    error = [point.run.folder / "error.txt"] if point.run.crashed else []
    return [*error, *([point.run.log] if point.run.log else [])]


def in_states(counts: dict[str, int]) -> str:
    """As in `3 done, 1 failed`."""
    return ", ".join(f"{number} {state}" for state, number in counts.items())


def closing(status: SweepStatus) -> list[str]:
    """All points in a line."""
    done, total, rate, left = overall(status.points)
    parts = [in_states(status.counts()) or "no points", f"samples {samples(done, 0, total)}"]
    if rate is not None:
        parts += [per_minute(rate), f"{duration(left)} left"]
    number = len(status.points)
    return [f"{number} point{'' if number == 1 else 's'}: {'; '.join(parts)}"]


def as_json(status: SweepStatus) -> str:
    """Everything as one JSON object in ASCII, which escapes whatever a terminal could obey."""
    done, total, rate, left = overall(status.points)
    value: dict[str, Any] = {
        "sweep": status.name,
        "file": str(status.file),
        "warning": status.warning,
        "counts": status.counts(),
        "samples_done": done,
        "samples_total": total,
        "samples_per_second": rate,
        "seconds_left": left,
        "points": [point_value(point) for point in status.points],
    }
    return json.dumps(value, indent=2)


def point_value(point: PointStatus) -> dict[str, Any]:
    """One point for JSON."""
    run = point.run
    return {
        "run_id": run.run_id,
        "label": run.label,
        "state": point.state,
        "note": point.note,
        "samples_done": run.scored,
        "samples_failed": run.failed,
        "samples_total": run.total,
        "samples_of_lives": list(run.lives),
        "samples_per_second": point.rate,
        "seconds_left": point.left,
        "executor": run.executor,
        "job_id": run.job_id,
        "submitted": run.submitted,
        "folder": str(run.folder),
        "log": str(run.log) if run.log else None,
        "error_file": str(run.folder / "error.txt") if run.crashed else None,
    }
