"""Figures of accuracy against each budget, with the Pareto set and the level of chance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from freqexp.comparing.budgets import Axis, Point, pareto_sets, points
from freqexp.comparing.comparison import Comparison, Row
from freqexp.comparing.rivals import is_control
from freqexp.report.drawing import GRAY, bars, looks, panels, settle, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS = 4
"""Groups beside each other in one figure; the next ones go into the next."""
LABELLED = 14
"""Up to so many points of a panel are all labelled, of more only the Pareto set."""


def budget_figures(comparison: Comparison, axis: Axis) -> Iterator[Figure]:
    """Accuracy against one budget, a panel a group; groups with one known cost have none."""
    methods = looks(comparison)
    shown = [
        (title, found)
        for group, title in enumerate(comparison.groups)
        if len(found := points(comparison.of_group(group), axis)) > 1
    ]
    for start in range(0, len(shown), PANELS):
        block = shown[start : start + PANELS]
        figure, shown_panels = panels(len(block))
        for panel, (title, found) in zip(shown_panels, block, strict=True):
            _budget_panel(panel, title, found, axis, methods)
        settle(figure)
        for panel, (_, found) in zip(shown_panels, block, strict=True):
            best = [point for points in pareto_sets(found).values() for point in points]
            _label(panel, found, best if len(found) > LABELLED else found, axis)
        yield figure


def _budget_panel(
    panel: Axes,
    title: str,
    found: Sequence[Point],
    axis: Axis,
    methods: dict[str, tuple[str, str]],
) -> None:
    crowded = len(found) > LABELLED
    sets = pareto_sets(found)
    for asked, best in sets.items():
        _pareto_line(panel, best, axis, asked)
    for name in dict.fromkeys(point.row.run.method for point in found):
        mine = [point for point in found if point.row.run.method == name]
        colour, marker = methods.get(name, ("#000000", "*"))
        run = mine[0].row.run
        control = " (control)" if is_control(run) and not run.is_baseline else ""
        panel.errorbar(
            [point.cost / axis.scale for point in mine],
            [point.accuracy for point in mine],
            # Of many points the bars would hide each other; the figure of differences has them.
            yerr=None if crowded else bars([p.row.accuracy for p in mine if p.row.accuracy]),
            fmt=marker,
            color=colour,
            markersize=10 if name == "none" else 4 if crowded else 6,
            markerfacecolor="white" if control else colour,
            elinewidth=0.8,
            alpha=0.75 if crowded else 1,
            label=f"{short(name)}{control}" if name != "none" else "none (baseline)",
            zorder=4 if name == "none" else 3,
        )
    _chance_line(panel, [point.row for point in found])
    costs = [point.cost / axis.scale for point in found]
    if min(costs) > 0 and max(costs) / min(costs) > 8:
        _logarithmic(panel, max(costs) / min(costs))
    panel.margins(x=0.12)
    panel.set_ylim(-0.03, 1.03)
    panel.set_title(f"{short(title, 60)} (numbers: keep ratio)", fontsize=10, y=1.0)
    panel.set_xlabel(f"{axis.title} ({axis.unit})")
    panel.set_ylabel("accuracy (mean score, 0 to 1)")
    # Names of methods that saw the question are long.
    across = 2 if True in sets else 3
    panel.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=across)


def _pareto_line(panel: Axes, best: Sequence[Point], axis: Axis, asked: bool) -> None:
    """One of `pareto_sets`. asked: that of the runs which saw the question."""
    costs = [point.cost / axis.scale for point in best]
    accuracies = [point.accuracy for point in best]
    panel.step(
        costs,
        accuracies,
        where="post",
        color=GRAY,
        linewidth=1,
        linestyle=(0, (4, 2, 1, 2)) if asked else (0, (4, 2)),
        label=f"Pareto set{', question seen' * asked}",
        zorder=2,
    )
    panel.scatter(costs, accuracies, s=130, facecolors="none", edgecolors=GRAY, zorder=2)


def _logarithmic(panel: Axes, span: float) -> None:
    """A logarithmic axis with plain numbers. span: largest over smallest cost."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    panel.set_xscale("log")
    panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if span < 1_000 else (1,)))
    panel.xaxis.set_major_formatter(FuncFormatter(lambda cost, _: f"{cost:g}"))
    panel.xaxis.set_minor_formatter(NullFormatter())


def _chance_line(panel: Axes, rows: Sequence[Row]) -> None:
    levels = [row.chance for row in rows if row.chance is not None]
    if levels:
        panel.axhline(
            sum(levels) / len(levels), color=GRAY, linewidth=1, linestyle=":", label="chance"
        )


def _label(panel: Axes, found: Sequence[Point], named: Sequence[Point], axis: Axis) -> None:
    """Write the keep ratios of `named` where they hit no point, no interval and no other label.

    A label that finds no free place among eight is left out: the table has it.
    """
    to_pixels = panel.transData.transform
    taken = []
    for point in found:
        x, y = to_pixels((point.cost / axis.scale, point.accuracy))
        taken.append(_box(x, y, 7, 7))
        interval = point.row.accuracy
        if len(found) <= LABELLED and interval is not None:
            (below,), (above,) = bars([interval])
            _, low = to_pixels((point.cost / axis.scale, point.accuracy - below))
            _, high = to_pixels((point.cost / axis.scale, point.accuracy + above))
            taken.append((x - 2, low, x + 2, high))
    for point in named:
        text = point.row.run.budget.words()
        if not text:
            continue
        x, y = to_pixels((point.cost / axis.scale, point.accuracy))
        half_width, half_height = 4.2 * len(text), 7.0
        for dx, dy in _PLACES:
            left, up = x + dx * (half_width + 9), y + dy * 12
            box = _box(left, up, half_width, half_height)
            inside = panel.bbox.contains(*box[:2]) and panel.bbox.contains(*box[2:])
            if inside and not any(_touch(box, other) for other in taken):
                taken.append(box)
                data_x, data_y = panel.transData.inverted().transform((left, up))
                panel.text(data_x, data_y, text, fontsize=8, ha="center", va="center")
                break


# Beside a point last: there the Pareto line runs.
_PLACES = ((1, 1), (1, -1), (-1, 1), (-1, -1), (0, 2), (0, -2), (1, 0), (-1, 0))

Box = tuple[float, float, float, float]


def _box(x: float, y: float, half_width: float, half_height: float) -> Box:
    return x - half_width, y - half_height, x + half_width, y + half_height


def _touch(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
