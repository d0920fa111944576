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

from freqexp.nouns.page import Pixels

MAX_BLOCK = 128
MAX_STEP = 255

Ints = npt.NDArray[np.int16]
Floats = npt.NDArray[np.float64]

_SCALE = 2.0**14
_CHUNK_VALUES = 1 << 16  # two buffers of half a megabyte; a quarter of that was slower


def highest_level(block: int, step: int) -> int:
    """No page has a level beyond it: |C| <= 255 block, and the basis is rounded."""
    return 256 * block // step + 1


def forward(planes: Pixels | Ints, block: int, step: int) -> Ints:
    """Quantised levels of the block DCT: round(C / step), halves to even.

    planes: uint8 [H, W], or differences of such; sides multiples of `block`. Returns int16
    [H/block, block, W/block, block]; dimensions 1 and 3 are the frequencies, 0 and 2 the blocks.
    """
    height, width = planes.shape
    basis = basis_of(block)
    across = np.ascontiguousarray(basis.T)
    levels = np.empty((height // block, block, width // block, block), dtype=np.int16)
    for chunk, values, half in _chunks(len(levels), block, width):
        values[:] = planes.reshape(-1, block, width)[chunk]
        np.matmul(values.reshape(-1, block), across, out=half.reshape(-1, block))
        np.matmul(basis, half, out=values)
        # One division, so that only one rounding comes before the rounding to a level.
        np.divide(values, step * _SCALE**2, out=values)
        np.rint(values, out=values)
        levels[chunk] = values.reshape(-1, *levels.shape[1:])
    return levels


def inverse(levels: Ints, step: int) -> Pixels:
    """The page of these levels: uint8 [H, W], nearest integers, halves up, clipped.

    levels: as `forward` returns them, at most `highest_level`.
    """
    block, width = levels.shape[1], levels.shape[2] * levels.shape[3]
    basis = basis_of(block)
    # The step and the scale go into one of the factors: both products stay exact.
    down = np.ascontiguousarray(basis.T) * (step / _SCALE**2)
    page = np.empty((len(levels), block, width), dtype=np.uint8)
    for chunk, values, half in _chunks(len(levels), block, width):
        values[:] = levels[chunk].reshape(values.shape)
        np.matmul(values.reshape(-1, block), basis, out=half.reshape(-1, block))
        np.matmul(down, half, out=values)
        values += 0.5
        np.clip(values, 0, 255, out=values)
        # Truncation is the floor of what is not negative.
        np.copyto(page[chunk], values, casting="unsafe")
    return page.reshape(-1, width)


def differences(levels: Ints, step: int) -> Ints:
    """As `inverse`, but with a sign: int16 [H, W], nearest integers, halves away from 0, limited to
    -255 to 255.
    """
    # Each inverse clips to 0 to 255: one holds what is lighter, the other what is darker.
    return inverse(levels, step).astype(np.int16) - inverse(-levels, step)


def _chunks(rows: int, block: int, width: int) -> Iterator[tuple[slice, Floats, Floats]]:
    """Ranges of block rows, in order, each with two buffers [rows, block, width]: the same memory
    every time, so that little of it comes fresh from the system.
    """
    count = min(rows, max(1, _CHUNK_VALUES // (block * width)))
    first, second = np.empty((2, count, block, width))
    for start in range(0, rows, count):
        chunk = slice(start, min(start + count, rows))
        yield chunk, first[: chunk.stop - start], second[: chunk.stop - start]


@functools.lru_cache(maxsize=16)
def basis_of(block: int) -> Floats:
    """Rounded DCT-II basis [block, block] in units of 2^-14, row u holds frequency u."""
    frequency = np.arange(block)[:, np.newaxis]
    phase = (2 * np.arange(block) + 1) * frequency % (4 * block)
    basis = np.cos(phase * (np.pi / (2 * block))) * np.sqrt(2 / block)
    basis[0] = np.sqrt(1 / block)
    rounded: Floats = np.rint(basis * _SCALE)
    rounded.flags.writeable = False
    return rounded
