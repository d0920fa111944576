"""A page as lines of symbols: what is cut out between columns that show nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from freqexp.codecs.pitch import Flags, runs
from freqexp.nouns.page import Pixels


@dataclass(frozen=True)
class Shape:
    """A picture that can stand at many places. data: its columns, left to right, `height` bytes
    each, from the first row that shows anything to the last.
    """

    height: int
    data: bytes

    @property
    def width(self) -> int:
        """Columns."""
        return len(self.data) // self.height


@dataclass(frozen=True)
class Cell:
    """A shape on a page. left, top: of its first pixel."""

    left: int
    top: int
    shape: Shape


def lines_of(page: Pixels, ground: int) -> list[list[Cell]]:
    """The cells of each text line of a page uint8 [H, W], from the top, left to right. All pixels
    that are not `ground` are in exactly one cell.

    A line is a run of rows in which anything is shown. In it a column is dark if a pixel is farther
    from the ground than half of the farthest of the page, and light if anything else is shown.
    Neighbouring dark columns make one cell, mostly a letter. Every light column, where smoothed
    edges of two letters meet, is a cell of its own, so that letters look the same whatever stands
    beside them.
    """
    shown, dark = ink_of(page, ground)
    return [
        cells_of(page[top:bottom], shown[top:bottom], dark[top:bottom], top)
        for top, bottom in runs(np.asarray(shown.any(axis=1)))
    ]


def ink_of(page: Pixels, ground: int) -> tuple[Flags, Flags]:
    """Which pixels are shown, and which of them are dark, as of `lines_of`."""
    distance = np.abs(page.astype(np.int16) - ground)
    return distance > 0, 2 * distance > distance.max()


def cells_of(strip: Pixels, shown: Flags, dark: Flags, top: int) -> list[Cell]:
    """The cells of the rows of one line, of which `top` is the page's row of the first."""
    kind = np.add(shown.any(axis=0), dark.any(axis=0), dtype=np.int8)
    starts = np.flatnonzero((np.diff(kind, prepend=0) != 0) | (kind == 1))
    ends = np.append(starts[1:], len(kind))
    upper = np.minimum.reduceat(shown.argmax(axis=0), starts)
    lower = len(strip) - np.minimum.reduceat(shown[::-1].argmax(axis=0), starts)
    sides = zip(*(each.tolist() for each in (starts, ends, upper, lower)), strict=True)
    columns, cells = strip.T, []
    for left, right, first, end in sides:
        if kind[left]:
            shape = Shape(end - first, columns[left:right, first:end].tobytes())
            cells.append(Cell(left, top + first, shape))
    return cells
