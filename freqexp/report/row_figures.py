"""Figures with a row a run: differences to the baseline, and prefix misses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from freqexp.comparing.comparison import Comparison, Row
from freqexp.report.drawing import GRAY, bars, looks, panels, settle, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROWS = 60
"""Rows of a figure; the next ones go into the next."""


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
        settle(figure)
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
        settle(figure)
        yield figure


def _row_figures(
    rows: Sequence[Row], comparison: Comparison
) -> Iterator[tuple[Figure, Any, Sequence[Row]]]:
    several = len(comparison.groups) > 1
    for start in range(0, len(rows), ROWS):
        block = rows[start : start + ROWS]
        figure, (panel,) = panels(1, 8.0, 1.2 + 0.24 * len(block))
        names = [
            short(
                f"{row.run.title()}, {comparison.groups[row.group]}"
                if several
                else row.run.title(),
                64,
            )
            for row in block
        ]
        panel.set_yticks([])
        # Text, because the extents of tick labels are measured again and again.
        for place, name in enumerate(names):
            panel.text(
                -0.01,
                place,
                name,
                transform=panel.get_yaxis_transform(),
                horizontalalignment="right",
                verticalalignment="center",
            )
        panel.set_ylim(len(block) - 0.4, -0.6)
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
            xerr=bars([estimate for _, estimate in mine]),
            fmt=marker,
            color=colour,
            markersize=6,
            elinewidth=1.4,
        )
