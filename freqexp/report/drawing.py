"""What the figures share: look, colours and markers of methods, layout, files.

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

from freqexp.comparing.comparison import Comparison, Estimate
from freqexp.errors import UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999933")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "h")
GRAY = "#666666"
DPI = 130


@dataclass(frozen=True)
class Drawn:
    """A figure's files without their endings, and what it shows. text: its numbers in words, for
    who can't see it.
    """

    name: str
    caption: str
    text: str = ""


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
    methods = dict.fromkeys(row.run.method for row in comparison.rows if not row.run.is_baseline)
    return {
        name: (COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)])
        for index, name in enumerate(methods)
    }


def panels(count: int, width: float = 5.2, height: float = 4.2) -> tuple[Figure, list[Any]]:
    """A figure of `count` panels, at most two in a row. No pyplot: nothing global is left open."""
    from matplotlib.figure import Figure

    across = min(count, 2)
    down = math.ceil(count / across)
    figure = Figure(figsize=(width * across, height * down), layout="constrained")
    panels = figure.subplots(down, across, squeeze=False).ravel().tolist()
    for spare in panels[count:]:
        spare.remove()
    return figure, panels[:count]


def bars(estimates: Sequence[Estimate]) -> list[list[float]]:
    """Lengths of the error bars below and above; zero where there is no interval."""
    lows = [e.value if e.low is None else e.low for e in estimates]
    highs = [e.value if e.high is None else e.high for e in estimates]
    return [
        [max(0.0, e.value - low) for e, low in zip(estimates, lows, strict=True)],
        [max(0.0, high - e.value) for e, high in zip(estimates, highs, strict=True)],
    ]


def settle(figure: Figure) -> None:
    """Make the layout, once, and fix it: made again for each file, with the extent of every tick
    label measured to place the axes' names, it would take longer than the drawing.
    """
    engine = figure.get_layout_engine()
    assert engine is not None
    engine.execute(figure)
    figure.set_layout_engine(None)
    for panel in figure.axes:
        to_axes = panel.transAxes.inverted().transform
        for axis in (panel.xaxis, panel.yaxis):
            axis.get_tightbbox()  # places the label, which the last step of the layout left behind
            label = axis.label
            axis.set_label_coords(*to_axes(label.get_transform().transform(label.get_position())))


def short(text: str, limit: int = 40) -> str:
    """`text`, cut to `limit` characters."""
    return text if len(text) <= limit else f"{text[: limit - 3]}..."
