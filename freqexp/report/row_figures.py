"""Figures with a row a run: differences to the baseline, prefix misses, and what answers are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from freqexp.comparing.comparison import Comparison, Row
from freqexp.report.drawing import GRAY, bars, looks, panels, settle, short
from freqexp.results import mix

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROWS = 60
"""Rows of a figure; the next ones go into the next."""

_KINDS = {
    mix.EXACT: ("#08306b", ""),
    mix.NEAR: ("#4f94cd", ""),
    mix.DRIFTED: ("#a6dba0", "//"),
    mix.DERAILED: ("#e69f00", "\\\\"),
    mix.OTHER_TURN: ("#cc79a7", "xx"),
    mix.ELSEWHERE: ("#dddddd", ""),
    mix.MISSED: ("#777777", "||"),
    mix.UNKNOWN: ("#ffffff", ".."),
}
"""Colour and hatching of what an answer can be, the best first. In gray, neighbours differ in
lightness or in hatching."""
_LABELLED_FROM = 0.04


def difference_figures(comparison: Comparison) -> Iterator[Figure]:
    """Differences to the baseline with their intervals, a row a run, the margin shaded."""
    rows = [row for row in comparison.rows if row.delta is not None]
    for figure, panel, block in row_figures(rows, comparison):
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
    for figure, panel, block in row_figures(rows, comparison):
        _intervals(panel, block, [row.prefix_miss for row in block], comparison)
        panel.set_xlim(-0.02, 1.02)
        panel.set_xlabel("share of answers without the required prefix")
        settle(figure)
        yield figure


def mix_figures(comparison: Comparison) -> Iterator[tuple[Figure, str]]:
    """What the answers are, a stacked bar a run, and the same in words; none where no run took its
    scores apart.
    """
    rows = [row for row in comparison.rows if row.samples]
    if not any(row.parts["copied_share"] is not None for row in rows):
        return
    for figure, panel, block in row_figures(rows, comparison, legend_inches=0.6):
        for kind in _KINDS:
            if any(row.mix[kind] for row in block):
                _segments(panel, block, kind)
        panel.set_xlim(0, 1)
        panel.set_xlabel("share of the scored answers (numbers: answers)")
        panel.grid(visible=False)
        figure.legend(fontsize=8, loc="outside lower center", ncols=3)
        settle(figure)
        yield figure, "; ".join(_in_words(row) for row in block)


def _segments(panel: Axes, rows: Sequence[Row], kind: str) -> None:
    """One kind's part of every bar, with its count where there is room."""
    colour, hatch = _KINDS[kind]
    before = list(_KINDS)[: list(_KINDS).index(kind)]
    mine = [(place, row) for place, row in enumerate(rows) if row.mix[kind]]
    lefts = [sum(row.mix[other] for other in before) / row.samples for _, row in mine]
    widths = [row.mix[kind] / row.samples for _, row in mine]
    panel.barh(
        [place for place, _ in mine],
        widths,
        left=lefts,
        height=0.7,
        color=colour,
        hatch=hatch,
        edgecolor="#222222",
        linewidth=0.5,
        label=kind,
    )
    for (place, row), left, width in zip(mine, lefts, widths, strict=True):
        if width >= _LABELLED_FROM:
            panel.text(
                left + width / 2,
                place,
                str(row.mix[kind]),
                fontsize=8,
                ha="center",
                va="center",
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
                in_layout=False,
            )


def _in_words(row: Row) -> str:
    found = ", ".join(f"{row.mix[kind]} {kind}" for kind in _KINDS if row.mix[kind])
    return f"{short(row.run.title(), 64)}: {found}"


def row_figures(
    rows: Sequence[Row], comparison: Comparison, legend_inches: float = 0.0
) -> Iterator[tuple[Figure, Any, Sequence[Row]]]:
    """Figures of a row a run with the names of the runs, each with its panel and its rows; none for
    no rows. legend_inches: room below for a legend.
    """
    several = len(comparison.groups) > 1
    for start in range(0, len(rows), ROWS):
        block = rows[start : start + ROWS]
        figure, (panel,) = panels(1, 8.0, 1.2 + legend_inches + 0.24 * len(block))
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
    for name in dict.fromkeys(row.run.method for row in rows):
        mine = [
            (place, estimate)
            for place, (row, estimate) in enumerate(zip(rows, estimates, strict=True))
            if row.run.method == name and estimate is not None
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
