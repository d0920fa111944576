"""Text lines that touch, taken apart: what lines are where their rows overlap."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from freqexp.codecs.pitch import Flags, pitch_of, runs
from freqexp.codecs.symbols.segment import Cell, cells_of, ink_of
from freqexp.nouns.page import Pixels

_TALL = 1.5
"""Runs of rows that are higher than so many pitches are several lines."""

_LETTER = 1.25
"""What hangs together and is higher than so many pitches is no letter."""

_NEAR = 0.4
"""By how much of a pitch a line may be higher or lower than a pitch."""

Numbers = npt.NDArray[np.int32]


def lines_apart(page: Pixels, ground: int) -> list[list[Cell]]:
    """The cells of each line of a page uint8 [H, W], as `lines_of` gives them, but of runs of rows
    that are too high for one line: those are cut where the fewest pixels are shown, about a pitch
    apart, and what hangs together stays whole, in the line that most of it is in.

    All pixels that are not `ground` are in a cell. Cells overlap where lines do; painted in turn
    they give the page, and have no more pixels than it.
    """
    shown, dark = ink_of(page, ground)
    pitch = pitch_of(shown)
    lines = list[list[Cell]]()
    for whole in (True, False):
        lines = []
        for top, end in runs(np.asarray(shown.any(axis=1))):
            band = _Band(page[top:end], shown[top:end], dark[top:end], top, ground)
            if pitch is None or end - top <= _TALL * pitch:
                lines.append(cells_of(band.page, band.shown, band.dark, top))
            else:
                lines += band.lines(pitch, whole)
        # Without letters that reach into other lines nothing overlaps.
        if sum(len(cell.shape.data) for line in lines for cell in line) <= page.size:
            break
    return lines


@dataclass(frozen=True, eq=False)
class _Band:
    """Rows of a page in all of which something is shown. top: the first one's on the page."""

    page: Pixels
    shown: Flags
    dark: Flags
    top: int
    ground: int

    def lines(self, pitch: int, whole: bool) -> Iterator[list[Cell]]:
        """The cells of its lines. whole: letters are not cut.

        What lines above show within a cell is in its picture, too, as it would be painted over;
        what lines below show is not.
        """
        firsts = [*_firsts(self.shown.sum(axis=1), pitch), len(self.page)]
        by_row = np.repeat(np.arange(len(firsts) - 1, dtype=np.int32), np.diff(firsts))
        line_of: Numbers = np.repeat(by_row[:, None], self.page.shape[1], axis=1)
        reach = int(_LETTER * pitch) if whole else 0
        if whole:
            _keep_whole(line_of, by_row, self.shown, reach)
        for number, (first, end) in enumerate(itertools.pairwise(firsts)):
            near = slice(max(first - reach, 0), end + reach)
            own = self.shown[near] & (line_of[near] == number)
            seen = np.where(line_of[near] <= number, self.page[near], np.uint8(self.ground))
            rows = np.flatnonzero(own.any(axis=1))
            if len(rows):
                used = slice(rows[0], rows[-1] + 1)
                dark = (self.dark[near] & own)[used]
                yield cells_of(seen[used], own[used], dark, self.top + near.start + int(rows[0]))


def _firsts(ink: npt.NDArray[np.int64], pitch: int) -> list[int]:
    """The first row of each line of a band. ink: shown pixels of its rows."""
    through = np.append(0, np.minimum(ink[1:], ink[:-1]))
    firsts, reach = [0], int(_NEAR * pitch)
    while len(ink) - firsts[-1] > _TALL * pitch:
        wanted = firsts[-1] + pitch
        near = range(wanted - reach, min(wanted + reach + 1, len(ink)))
        firsts.append(min(near, key=lambda row: (through[row], ink[row], abs(row - wanted))))
    return firsts


def _keep_whole(line_of: Numbers, by_row: Numbers, shown: Flags, highest: int) -> None:
    """Give what hangs together, is at most so many rows high and in several lines to one of them.

    line_of: the line of each pixel, by_row at first, which is changed in place.
    """
    from scipy.ndimage import find_objects, label

    pieces, _ = label(shown, np.ones((3, 3), dtype=bool))
    for number, (rows, columns) in enumerate(find_objects(pieces), start=1):
        high = rows.stop - rows.start
        if high <= highest and by_row[rows.start] != by_row[rows.stop - 1]:
            inside = pieces[rows, columns] == number
            lines = line_of[rows, columns]
            lines[inside] = np.bincount(lines[inside]).argmax()
