"""The figure of what the KV cache of each run is made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from freqexp.comparing.comparison import Comparison, Row
from freqexp.nouns.cache import Component
from freqexp.report.cache import cache_rows, held_components, key
from freqexp.report.drawing import settle, short
from freqexp.report.row_figures import row_figures
from freqexp.results.table import size

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LOOKS: dict[Component, tuple[str, str]] = {
    "codes": ("#08306b", ""),
    "scales": ("#e69f00", "\\\\"),
    "zeros": ("#ffffff", ".."),
    "indices": ("#cc79a7", "xx"),
    "basis": ("#a6dba0", "//"),
    "window": ("#4f94cd", ""),
    "exact": ("#dddddd", ""),
}
"""Colour and hatching; in gray, neighbours differ in lightness or in hatching."""

_MIB = 2**20


def cache_figures(comparison: Comparison) -> Iterator[tuple[Figure, str]]:
    """Bytes of the KV cache by component, a stacked bar a run, and the same in words; none where no
    run compresses it. Marked: what the model made, and what is held after the answer.
    """
    rows = [row for row in cache_rows(comparison) if row.means.get("kv_cache_bytes") is not None]
    for figure, panel, block in row_figures(rows, comparison, legend_inches=0.6):
        components = held_components(block)
        for index, component in enumerate(components):
            _segments(panel, block, component, components[:index])
        for name, words, marker in (
            ("kv_full_bytes", "as the model made it", "|"),
            ("kv_end_bytes", "held after the answer", ">"),
        ):
            _marks(panel, block, name, words, marker)
        panel.set_xlim(left=0)
        panel.set_xlabel("KV cache after the prefill (MiB a sample)")
        figure.legend(fontsize=8, loc="outside lower center", ncols=4)
        settle(figure)
        yield figure, "; ".join(_in_words(row, components) for row in block)


def _segments(
    panel: Axes, rows: Sequence[Row], name: Component, before: Sequence[Component]
) -> None:
    """One component's part of every bar."""
    colour, hatch = _LOOKS[name]
    panel.barh(
        range(len(rows)),
        [_bytes(row, name) / _MIB for row in rows],
        left=[sum(_bytes(row, other) for other in before) / _MIB for row in rows],
        height=0.6,
        color=colour,
        hatch=hatch,
        edgecolor="#222222",
        linewidth=0.5,
        label=name,
    )


def _marks(panel: Axes, rows: Sequence[Row], name: str, words: str, marker: str) -> None:
    """One mark a run, at another size of its cache."""
    known = [
        (place, value)
        for place, row in enumerate(rows)
        if (value := row.means.get(name)) is not None
    ]
    panel.plot(
        [value / _MIB for _, value in known],
        [place for place, _ in known],
        marker,
        color="#222222",
        markerfacecolor="white",
        markersize=9 if marker == "|" else 5,
        label=words,
    )


def _bytes(row: Row, name: Component) -> float:
    return row.means.get(key(name)) or 0.0


def _in_words(row: Row, components: Sequence[Component]) -> str:
    parts = [f"{name} {size(_bytes(row, name))}" for name in components if _bytes(row, name)]
    full = size(row.means.get("kv_full_bytes"))
    return f"{short(row.run.title(), 64)}: {', '.join(parts) or 'nothing by component'} of {full}"
