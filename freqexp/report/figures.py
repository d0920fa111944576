"""The figures of a comparison, as PNG and SVG.

Colours are Okabe and Ito's, which colour-blind people tell apart; every method also has a marker of
its own, so that nothing depends on colour.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freqexp.errors import UserError
from freqexp.report.budgets import AXES, CONTROLS, Axis, Point, pareto, points
from freqexp.report.compare import Comparison, Estimate, Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999933")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "h")
GRAY = "#666666"
DPI = 130
PANELS = 4
"""Groups beside each other in one figure; the next ones go into the next."""
ROWS = 60
"""Rows of the figure of differences; the next ones go into the next."""
LABELLED = 14
"""Up to so many points of a panel are all labelled, of more only the Pareto set."""


@dataclass(frozen=True)
class Drawn:
    """A figure's files without their endings, and what it shows."""

    name: str
    caption: str


def draw_all(comparison: Comparison, folder: Path) -> list[Drawn]:
    """Write every figure that has something to show into `folder`, as <name>.png and <name>.svg.

    Raises UserError when a file cannot be written.
    """
    drawn: list[Drawn] = []
    with style():
        for axis in AXES:
            for number, figure in enumerate(budget_figures(comparison, axis), start=1):
                name = f"accuracy_{axis.name}" + (f"_{number}" if number > 1 else "")
                caption = f"Accuracy against {axis.title} ({axis.unit})"
                drawn.append(save(figure, folder, Drawn(name, caption)))
        for number, figure in enumerate(difference_figures(comparison), start=1):
            name = "differences" + (f"_{number}" if number > 1 else "")
            caption = "Difference to the uncompressed run on the same samples (95 % interval)"
            drawn.append(save(figure, folder, Drawn(name, caption)))
        for number, figure in enumerate(miss_figures(comparison), start=1):
            name = "prefix_misses" + (f"_{number}" if number > 1 else "")
            caption = "Answers without the required prefix (95 % interval)"
            drawn.append(save(figure, folder, Drawn(name, caption)))
    return drawn


@contextmanager
def style() -> Iterator[None]:
    """Settings of all figures; the caller's own come back after. The same input gives the same
    files.
    """
    import matplotlib

    settings: Any = {
        "font.family": "DejaVu Sans",
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": "#dddddd",
        "grid.linewidth": 0.6,
        "legend.frameon": False,
        "svg.hashsalt": "freqexp",
        "svg.fonttype": "path",
        "text.usetex": False,
        "text.parse_math": False,
    }
    with matplotlib.rc_context(settings):
        yield


def save(figure: Figure, folder: Path, drawn: Drawn) -> Drawn:
    """Write a figure's PNG and SVG. Raises UserError when they cannot be written."""
    try:
        figure.savefig(folder / f"{drawn.name}.png", dpi=DPI, metadata={"Software": None})
        figure.savefig(folder / f"{drawn.name}.svg", metadata={"Date": None})
    except OSError as error:
        raise UserError(f"cannot write {folder / drawn.name}.png: {error.strerror}") from None
    return drawn


def looks(comparison: Comparison) -> dict[str, tuple[str, str]]:
    """Colour and marker of each method, the same in all figures; the baseline is not among them."""
    methods = dict.fromkeys(
        row.run.compressor for row in comparison.rows if not row.run.is_baseline
    )
    return {
        name: (COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)])
        for index, name in enumerate(methods)
    }


def _panels(count: int, width: float = 5.2, height: float = 4.2) -> tuple[Figure, list[Any]]:
    """A figure of `count` panels, at most two in a row. No pyplot: nothing global is left open."""
    from matplotlib.figure import Figure

    across = min(count, 2)
    down = math.ceil(count / across)
    figure = Figure(figsize=(width * across, height * down), layout="constrained")
    panels = figure.subplots(down, across, squeeze=False).ravel().tolist()
    for spare in panels[count:]:
        spare.remove()
    return figure, panels[:count]


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
        figure, panels = _panels(len(block))
        for panel, (title, found) in zip(panels, block, strict=True):
            _budget_panel(panel, title, found, axis, methods)
        _settle(figure)
        for panel, (_, found) in zip(panels, block, strict=True):
            _label(panel, found, pareto(found) if len(found) > LABELLED else found, axis)
        yield figure


def _budget_panel(
    panel: Axes,
    title: str,
    found: Sequence[Point],
    axis: Axis,
    methods: dict[str, tuple[str, str]],
) -> None:
    best = pareto(found)
    crowded = len(found) > LABELLED
    panel.step(
        [point.cost / axis.scale for point in best],
        [point.accuracy for point in best],
        where="post",
        color=GRAY,
        linewidth=1,
        linestyle=(0, (4, 2)),
        label="Pareto set",
        zorder=2,
    )
    panel.scatter(
        [point.cost / axis.scale for point in best],
        [point.accuracy for point in best],
        s=130,
        facecolors="none",
        edgecolors=GRAY,
        zorder=2,
    )
    for name in dict.fromkeys(point.row.run.compressor for point in found):
        mine = [point for point in found if point.row.run.compressor == name]
        colour, marker = methods.get(name, ("#000000", "*"))
        control = " (control)" if name in CONTROLS else ""
        panel.errorbar(
            [point.cost / axis.scale for point in mine],
            [point.accuracy for point in mine],
            # Of many points the bars would hide each other; the figure of differences has them.
            yerr=None if crowded else _bars([p.row.accuracy for p in mine if p.row.accuracy]),
            fmt=marker,
            color=colour,
            markersize=10 if name == "none" else 4 if crowded else 6,
            markerfacecolor="white" if control else colour,
            elinewidth=0.8,
            alpha=0.75 if crowded else 1,
            label=f"{_short(name)}{control}" if name != "none" else "none (baseline)",
            zorder=4 if name == "none" else 3,
        )
    _chance_line(panel, [point.row for point in found])
    costs = [point.cost / axis.scale for point in found]
    if min(costs) > 0 and max(costs) / min(costs) > 8:
        panel.set_xscale("log")
    panel.margins(x=0.12)
    panel.set_ylim(-0.03, 1.03)
    panel.set_title(f"{_short(title, 60)} (numbers: keep ratio)", fontsize=10)
    panel.set_xlabel(f"{axis.title} ({axis.unit})")
    panel.set_ylabel("accuracy (mean score, 0 to 1)")
    panel.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3)


def _bars(estimates: Sequence[Estimate]) -> list[list[float]]:
    """Lengths of the error bars below and above; zero where there is no interval."""
    lows = [e.value if e.low is None else e.low for e in estimates]
    highs = [e.value if e.high is None else e.high for e in estimates]
    return [
        [max(0.0, e.value - low) for e, low in zip(estimates, lows, strict=True)],
        [max(0.0, high - e.value) for e, high in zip(estimates, highs, strict=True)],
    ]


def _chance_line(panel: Axes, rows: Sequence[Row]) -> None:
    levels = [row.chance for row in rows if row.chance is not None]
    if levels:
        panel.axhline(
            sum(levels) / len(levels), color=GRAY, linewidth=1, linestyle=":", label="chance"
        )


def _settle(figure: Figure) -> None:
    """Make the layout, once: labels are placed on it, and made again for each file it would take as
    long as the drawing.
    """
    figure.draw_without_rendering()
    figure.set_layout_engine("none")


def _label(panel: Axes, found: Sequence[Point], named: Sequence[Point], axis: Axis) -> None:
    """Write the keep ratios of `named` where they hit no point and no other label.

    A label that finds no free place among eight is left out: the table has it.
    """
    to_pixels = panel.transData.transform
    taken = []
    for point in found:
        x, y = to_pixels((point.cost / axis.scale, point.accuracy))
        taken.append(_box(x, y, 7, 7))
    for point in named:
        kept = point.row.run.keep_ratio
        if kept is None:
            continue
        text = f"{kept:g}"
        x, y = to_pixels((point.cost / axis.scale, point.accuracy))
        half_width, half_height = 4.2 * len(text), 7.0
        for dx, dy in _PLACES:
            left, up = x + dx * (half_width + 9), y + dy * 12
            box = _box(left, up, half_width, half_height)
            if panel.bbox.contains(box[0], box[1]) and not any(_touch(box, t) for t in taken):
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


def difference_figures(comparison: Comparison) -> Iterator[Figure]:
    """Differences to the baseline with their intervals, a row a run, the margin shaded."""
    rows = [row for row in comparison.rows if row.delta is not None]
    for figure, panel, block in _row_figures(rows, comparison):
        panel.axvspan(-comparison.margin, comparison.margin, color="#dddddd", zorder=0)
        panel.axvline(0, color=GRAY, linewidth=1)
        estimates = [row.delta.accuracy if row.delta else None for row in block]
        _intervals(panel, block, estimates, comparison)
        panel.set_xlabel(
            f"accuracy difference to the baseline (shaded: margin ± {comparison.margin:g})"
        )
        _settle(figure)
        yield figure


def miss_figures(comparison: Comparison) -> Iterator[Figure]:
    """Prefix-miss rates with their intervals, a row a run."""
    rows = [row for row in comparison.rows if row.prefix_miss is not None]
    if not any(row.prefix_miss is not None and row.prefix_miss.value for row in rows):
        return
    for figure, panel, block in _row_figures(rows, comparison):
        _intervals(panel, block, [row.prefix_miss for row in block], comparison)
        panel.set_xlim(-0.02, 1.02)
        panel.set_xlabel("share of answers without the required prefix")
        _settle(figure)
        yield figure


def _row_figures(
    rows: Sequence[Row], comparison: Comparison
) -> Iterator[tuple[Figure, Any, Sequence[Row]]]:
    several = len(comparison.groups) > 1
    for start in range(0, len(rows), ROWS):
        block = rows[start : start + ROWS]
        figure, (panel,) = _panels(1, 8.0, 1.2 + 0.24 * len(block))
        names = [
            _short(
                f"{row.run.title()}, {comparison.groups[row.group]}"
                if several
                else row.run.title(),
                64,
            )
            for row in block
        ]
        panel.set_yticks(range(len(block)), names)
        panel.set_ylim(len(block) - 0.4, -0.6)
        panel.grid(axis="y", visible=False)
        yield figure, panel, block


def _intervals(
    panel: Axes, rows: Sequence[Row], estimates: Sequence[Any], comparison: Comparison
) -> None:
    methods = looks(comparison)
    for name in dict.fromkeys(row.run.compressor for row in rows):
        mine = [
            (place, estimate)
            for place, (row, estimate) in enumerate(zip(rows, estimates, strict=True))
            if row.run.compressor == name and estimate is not None
        ]
        colour, marker = methods.get(name, ("#000000", "*"))
        values = [estimate.value for _, estimate in mine]
        panel.errorbar(
            values,
            [place for place, _ in mine],
            xerr=_bars([estimate for _, estimate in mine]),
            fmt=marker,
            color=colour,
            markersize=6,
            elinewidth=1.4,
        )


def _short(text: str, limit: int = 40) -> str:
    return text if len(text) <= limit else f"{text[: limit - 3]}..."
