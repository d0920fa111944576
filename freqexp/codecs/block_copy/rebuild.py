"""A page of copied blocks and what they leave."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from freqexp.codecs.block_copy.copies import ABOVE, BLOCK, FLAT, LEFT, Copies
from freqexp.coding.bitstream import BitstreamError
from freqexp.coding.integer_dct import Ints
from freqexp.nouns.page import Pixels

Place = tuple[int, int]
"""The first row and column of a block or of its source, or how far the one is from the other."""

_WHITE = 255


def flat_value(page: npt.NDArray[np.int16], row: int, column: int) -> int:
    """What a block that copies nothing is predicted by: the median of the pixels that border on it,
    above and on the left, the higher one of two; white where there are none.
    """
    border: list[int] = []
    if row:
        border += page[row - 1, column : column + BLOCK].tolist()
    if column:
        border += page[row : row + BLOCK, column - 1].tolist()
    return sorted(border)[len(border) // 2] if border else _WHITE


def is_there(source: Place, block: Place, width: int) -> bool:
    """Whether a source lies on the page, in blocks before this one."""
    (top, left), (row, column) = source, block
    if top < 0 or not 0 <= left <= width - BLOCK:
        return False
    return top + BLOCK <= row or (top <= row and left + BLOCK <= column)


def rebuilt(copies: Copies, residual: Ints) -> Pixels:
    """The page, uint8 of the residual's shape [H, W], sides multiples of BLOCK.

    Raises BitstreamError for a block that is copied from where nothing is yet.
    """
    page = np.empty(residual.shape, dtype=np.int16)
    width = residual.shape[1]
    new = zip(copies.ups.tolist(), copies.lefts.tolist(), strict=True)
    away: dict[Place, Place] = {}
    for index, modes in enumerate(copies.modes.tolist()):
        row = BLOCK * index
        for number, mode in enumerate(modes):
            column = BLOCK * number
            here = residual[row : row + BLOCK, column : column + BLOCK]
            if mode == FLAT:
                block = here + flat_value(page, row, column)
            else:
                top, left = _source(mode, (row, column), away, new)
                if not is_there((top, left), (row, column), width):
                    raise BitstreamError(f"block_copy: the block at {row}, {column} has no source")
                away[row, column] = row - top, column - left
                block = here + page[top : top + BLOCK, left : left + BLOCK]
            page[row : row + BLOCK, column : column + BLOCK] = np.maximum(np.minimum(block, 255), 0)
    return page.astype(np.uint8)


def _source(mode: int, block: Place, away: dict[Place, Place], new: zip[tuple[int, int]]) -> Place:
    row, column = block
    if mode not in (LEFT, ABOVE):
        up, left = next(new)
        return row - up, left
    beside = (row, column - BLOCK) if mode == LEFT else (row - BLOCK, column)
    if beside not in away:
        raise BitstreamError(f"block_copy: the block beside {row}, {column} is not copied")
    up, before = away[beside]
    return row - up, column - before
