"""Text lines that touch, taken apart: what lines are where their rows overlap."""

from __future__ import annotations

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

Numbers = npt.NDArray[np.int64]


def lines_apart(page: Pixels, ground: int) -> list[list[Cell]]:
    """The cells of each line of a page uint8 [H, W], as `lines_of` gives them, but of runs of rows
    that are too high for one line: those are cut where the fewest pixels are shown, about a pitch
    apart, and what hangs together stays whole, in the line that most of it is in.

    All pixels that are not `ground` are in a cell. Cells overlap where lines do; painted in turn
    they give the page.
    """
    shown, dark = ink_of(page, ground)
    pitch = pitch_of(shown)
    whole, cut = list[list[Cell]](), list[list[Cell]]()
    for top, end in runs(np.asarray(shown.any(axis=1))):
        band = page[top:end], shown[top:end], dark[top:end], top
        if pitch is None or end - top <= _TALL * pitch:
            found = again = [cells_of(*band)]
        else:
            line_of = _line_of(band[1].sum(axis=1), pitch)
            straight = np.repeat(line_of[:, None], page.shape[1], axis=1)
            found = _of_lines(*band, ground, _letters_whole(straight, band[1], pitch))
            again = _of_lines(*band, ground, straight)
        whole += found
        cut += again
    painted = sum(len(cell.shape.data) for line in whole for cell in line)
    return whole if painted <= page.size else cut


def _line_of(ink: Numbers, pitch: int) -> Numbers:
    """The number of the line that each row of a band is in. ink: shown pixels of its rows."""
    line_of, first = np.zeros(len(ink), dtype=np.int64), 0
    through = np.append(0, np.minimum(ink[1:], ink[:-1]))
    reach = int(_NEAR * pitch)
    while len(ink) - first > _TALL * pitch:
        near = range(first + pitch - reach, min(first + pitch + reach + 1, len(ink)))
        first = min(near, key=lambda row: (through[row], ink[row], abs(row - first - pitch)))
        line_of[first:] += 1
    return line_of


def _letters_whole(straight: Numbers, shown: Flags, pitch: int) -> Numbers:
    """The line of each pixel; straight: by its row alone."""
    from scipy.ndimage import find_objects, label

    pieces, _ = label(shown, np.ones((3, 3), dtype=bool))
    found = straight.copy()
    for number, (rows, columns) in enumerate(find_objects(pieces), start=1):
        first, last = straight[rows.start, 0], straight[rows.stop - 1, 0]
        if first != last and rows.stop - rows.start <= _LETTER * pitch:
            inside = pieces[rows, columns] == number
            lines = straight[rows, columns][inside]
            found[rows, columns][inside] = np.bincount(lines).argmax()
    return found


def _of_lines(
    page: Pixels, shown: Flags, dark: Flags, top: int, ground: int, line_of: Numbers
) -> list[list[Cell]]:
    """The cells of a band's lines. What lines above show within a cell is in its picture, too, as
    it would be painted over; what lines below show is not.
    """
    lines = []
    for number in range(int(line_of[-1].max()) + 1):
        own = shown & (line_of == number)
        rows = np.flatnonzero(own.any(axis=1))
        if len(rows):
            first, end = rows[0], rows[-1] + 1
            seen = np.where(line_of[first:end] <= number, page[first:end], ground)
            strip = seen.astype(np.uint8), own[first:end], dark[first:end] & own[first:end]
            lines.append(cells_of(*strip, top + int(first)))
    return lines
