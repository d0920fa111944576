"""A gray page as bytes: copied blocks, and the quantised DCT of what they leave."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from freqexp.codecs.block_copy.choice import choose
from freqexp.codecs.block_copy.copies import BLOCK, FLAT, decode_copies, encode_copies
from freqexp.codecs.block_copy.rebuild import rebuilt
from freqexp.codecs.block_copy.search import sources_of
from freqexp.coding.bitstream import BitstreamError, Cursor, varint
from freqexp.coding.integer_dct import MAX_STEP, Ints, differences, highest_level
from freqexp.coding.levels import CodedLevels, decode_levels, encode_levels
from freqexp.nouns.page import Pixels

_LEAST_CONTRAST = 5.0
"""Blocks whose standard deviation is less have nothing worth a place to copy from."""

NONE = CodedLevels(1, b"", b"", b"")
"""Of no blocks."""


class Copier:
    """A page [H, W], and what its blocks may be copied from, found once."""

    def __init__(self, page: Pixels, planes: int) -> None:
        """planes: that the page has one below the other."""
        sides = [(0, -side % BLOCK) for side in page.shape]
        self._whole = np.pad(page, sides, mode="edge").astype(np.int16)
        self._planes = planes
        self._sources = sources_of(self._whole, _LEAST_CONTRAST)

    def write(self, step: int) -> tuple[bytes, tuple[bytes, ...]]:
        """Parameters and sections at this step of the quantiser, as `block_copy` stores them: the
        copies, then masks, values and scales of blocks predicted by their border, and of those that
        are copied, as they have other odds.
        """
        copies, levels = choose(self._whole, self._sources, step)
        numbers, sections = [step, self._planes], [encode_copies(copies)]
        for chosen in _kinds(copies.modes):
            coded = NONE
            if chosen.any():
                coded = encode_levels(_of_blocks(levels, chosen), predicted=True)
            numbers.append(coded.smallest)
            sections += [coded.masks, coded.values, coded.scales]
        return b"".join(map(varint, numbers)), tuple(sections)


def read(parameters: bytes, sections: Sequence[bytes], shape: tuple[int, ...]) -> Pixels:
    """The page [planes x H, W]; shape: of the page with its channels. Raises BitstreamError."""
    cursor = Cursor(parameters, "block_copy")
    step, planes, *smallest = (cursor.varint() for _ in range(4))
    cursor.end()
    if not 1 <= step <= MAX_STEP or planes not in ((1,) if len(shape) == 2 else (1, 3)):
        raise BitstreamError(f"block_copy: step {step}, {planes} planes")
    height, width = planes * shape[0], shape[1]
    rows, columns = -(-height // BLOCK), -(-width // BLOCK)
    copies = decode_copies(sections[0], (rows, columns))
    levels = np.zeros((rows, BLOCK, columns, BLOCK), dtype=np.int16)
    highest = highest_level(BLOCK, step)
    for number, chosen in enumerate(_kinds(copies.modes)):
        coded = CodedLevels(smallest[number], *sections[1 + 3 * number : 4 + 3 * number])
        count = int(np.count_nonzero(chosen))
        if count:
            found = decode_levels(coded, (1, BLOCK, count, BLOCK), highest, predicted=True)
            levels.transpose(0, 2, 1, 3)[chosen] = found[0].transpose(1, 0, 2)
        elif coded != NONE:
            raise BitstreamError("block_copy: levels of blocks that there are not")
    page = rebuilt(copies, differences(levels, step))
    return np.ascontiguousarray(page[:height, :width])


def _kinds(modes: Pixels) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    flat = np.asarray(modes == FLAT)
    return flat, ~flat


def _of_blocks(levels: Ints, chosen: npt.NDArray[np.bool_]) -> Ints:
    """Those of some blocks, in raster order: [1, BLOCK, n, BLOCK]."""
    found: Ints = np.ascontiguousarray(
        levels.transpose(0, 2, 1, 3)[chosen].transpose(1, 0, 2)[np.newaxis]
    )
    return found
