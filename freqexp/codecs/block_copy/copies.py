"""Which block of a page is copied from where, as bytes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from freqexp.coding.adaptive import Coder, Integers, Reader, Writer
from freqexp.nouns.page import Pixels

BLOCK = 8
FLAT, LEFT, ABOVE, NEW = range(4)
"""What a block is predicted by: its border; what its left neighbour is, or the one above, from as
far; a place of its own.
"""

REACH = 1024
"""Rows that a source may be above its block, but one."""

_MODES, _NEIGHBOURS = 4, 8
_MODE_STEP, _UP_STEP = 32, 4
_RUN = 64


@dataclass(frozen=True, eq=False)
class Copies:
    """modes: uint8 [rows, columns] of blocks. ups, lefts: int64, of each NEW block in raster order:
    rows that its source is above it, and the first column of the source.
    """

    modes: Pixels
    ups: Integers
    lefts: Integers


def encode_copies(copies: Copies) -> bytes:
    """As range-coded symbols that adapt."""
    writer = Writer()
    _code(writer, (copies.modes.shape[0], copies.modes.shape[1]), copies)
    return writer.data()


def decode_copies(data: bytes, blocks: tuple[int, int]) -> Copies:
    """Inverse, of so many rows and columns of blocks. Raises BitstreamError."""
    reader = Reader(data, 3 * blocks[0] * blocks[1])
    found = _code(reader, blocks, None)
    reader.end()
    return found


def _code(coder: Coder, blocks: tuple[int, int], copies: Copies | None) -> Copies:
    modes = _modes(coder, blocks, None if copies is None else copies.modes)
    count = int(np.count_nonzero(modes == NEW))
    ups = _ups(coder, min(BLOCK * blocks[0], REACH), count, None if copies is None else copies.ups)
    # All columns that a block can begin at are as likely.
    places = np.ones(BLOCK * (blocks[1] - 1) + 1, dtype=np.int64)
    if len(places) == 1 or not count:
        return Copies(modes, ups, np.zeros(count, dtype=np.int64))
    return Copies(
        modes, ups, coder.symbols(places, None if copies is None else copies.lefts, count)
    )


def _modes(coder: Coder, blocks: tuple[int, int], modes: Pixels | None) -> Pixels:
    """Column by column, given which of three neighbours in the one before are copied."""
    rows, columns = blocks
    weights = np.ones((_NEIGHBOURS, _MODES), dtype=np.int64)
    found = np.zeros((rows, columns), dtype=np.uint8)
    copied: npt.NDArray[np.int64] = np.zeros(rows + 2, dtype=np.int64)
    for column in range(columns):
        context = 4 * copied[:-2] + 2 * copied[1:-1] + copied[2:]
        for number in np.unique(context):
            here = context == number
            asked = None if modes is None else modes[here, column].astype(np.int64)
            count = int(np.count_nonzero(here))
            found[here, column] = coder.symbols(weights[number], asked, count)
        np.add.at(weights, (context, found[:, column]), _MODE_STEP)
        copied[1:-1] = found[:, column] != FLAT
    return found


def _ups(coder: Coder, size: int, count: int, ups: Integers | None) -> Integers:
    """In runs, after each of which the weights adapt."""
    weights = np.ones(size, dtype=np.int64)
    found = np.zeros(count, dtype=np.int64)
    for start in range(0, count, _RUN):
        run = slice(start, min(start + _RUN, count))
        asked = None if ups is None else ups[run]
        found[run] = coder.symbols(weights, asked, run.stop - start)
        np.add.at(weights, found[run], _UP_STEP)
    return found
