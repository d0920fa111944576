"""Block DCT with an integer basis: the same numbers on every machine.

The orthonormal basis is scaled by 2^14 and rounded. All products and sums of the transforms are
then integers below 2^53, which float64 holds exactly, so neither the order of a sum nor fused
operations nor the number of threads can change a result, while a fast matrix product does the work.
The rounded basis is orthonormal to 1e-4, less than the quantiser's finest step can show.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from freqexp.page import Pixels

MAX_BLOCK = 128
MAX_STEP = 255

Ints = npt.NDArray[np.int16]
Floats = npt.NDArray[np.float64]

_SCALE = 2.0**14
_CHUNK_VALUES = 1 << 16  # what stays in a core's cache between the passes


def highest_level(block: int, step: int) -> int:
    """No page has a level beyond it: |C| <= 255 block, and the basis is rounded."""
    return 256 * block // step + 1


def forward(planes: Pixels, block: int, step: int) -> Ints:
    """Quantised levels of the block DCT: round(C / step), halves to even.

    planes: uint8 [H, W], sides multiples of `block`. Returns int16 [H/block, block, W/block,
    block]; dimensions 1 and 3 are the frequencies, 0 and 2 the blocks.
    """
    height, width = planes.shape
    basis = _basis(block)
    across, factor = np.ascontiguousarray(basis.T), 1 / (_SCALE**2)
    levels = np.empty((height // block, block, width // block, block), dtype=np.int16)
    for start, stop in _chunks(height // block, block * width):
        rows = planes[start * block : stop * block].astype(np.float64)
        half = np.matmul(rows.reshape(-1, block), across).reshape(-1, block, width)
        chunk = np.matmul(basis, half)
        chunk *= factor
        if step > 1:
            chunk /= step
        np.rint(chunk, out=chunk)
        levels[start:stop] = chunk.reshape(-1, *levels.shape[1:])
    return levels


def inverse(levels: Ints, step: int) -> Pixels:
    """The page of these levels: uint8 [H, W], nearest integers, halves up, clipped.

    levels: as `forward` returns them, at most `highest_level`.
    """
    rows_of_blocks, block, columns, _ = levels.shape
    width = columns * block
    basis = _basis(block)
    down, factor = np.ascontiguousarray(basis.T), step / (_SCALE**2)
    page = np.empty((rows_of_blocks, block, width), dtype=np.uint8)
    for start, stop in _chunks(rows_of_blocks, block * width):
        rows = levels[start:stop].astype(np.float64)
        half = np.matmul(rows.reshape(-1, block), basis).reshape(-1, block, width)
        chunk = np.matmul(down, half)
        chunk *= factor
        chunk += 0.5
        # Truncation is the floor of what is not negative.
        np.clip(chunk, 0, 255, out=chunk)
        np.copyto(page[start:stop], chunk, casting="unsafe")
    return page.reshape(-1, width)


@functools.lru_cache(maxsize=16)
def _basis(block: int) -> Floats:
    """Rounded DCT-II basis [block, block], row u holds frequency u."""
    frequency = np.arange(block)[:, np.newaxis]
    phase = (2 * np.arange(block) + 1) * frequency % (4 * block)
    basis = np.cos(phase * (np.pi / (2 * block))) * np.sqrt(2 / block)
    basis[0] = np.sqrt(1 / block)
    rounded: Floats = np.rint(basis * _SCALE)
    rounded.flags.writeable = False
    return rounded


def _chunks(rows_of_blocks: int, values: int) -> Iterator[tuple[int, int]]:
    """Ranges of block rows of `values` values each that together fit the cache."""
    count = max(1, _CHUNK_VALUES // values)
    for start in range(0, rows_of_blocks, count):
        yield start, min(start + count, rows_of_blocks)
