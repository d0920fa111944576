"""What each block of a page is predicted by, and the quantised DCT of what that leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from freqexp.codecs.block_copy.copies import ABOVE, BLOCK, FLAT, LEFT, NEW, Copies
from freqexp.codecs.block_copy.rebuild import Place, flat_value, is_there
from freqexp.coding.integer_dct import Ints, basis_of

Floats = npt.NDArray[np.float64]

_UNIT = 2.0**28
"""Of coefficients: the basis has 2^14."""

_LEAST_KEPT, _NEAREST = 0.7, 0.5
"""In steps: what is less than the first is dropped, unless a block is then farther off than the
second.
"""

_BITS_A_MODE = {FLAT: 1.5, LEFT: 2.5, ABOVE: 2.5, NEW: 17.5}
_BITS_A_LEVEL, _BITS_A_DOUBLING = 3.5, 1.5
_WORTH = 0.15
"""Bits against squared error, in squared steps a bit."""


@dataclass(frozen=True)
class _Way:
    """One way to code a block: mode, source and levels, and the pixels that come out."""

    mode: int
    source: Place | None
    levels: Floats
    pixels: Floats


def choose(
    page: npt.NDArray[np.int16],
    sources: Mapping[Place, Sequence[Place]],
    step: int,
) -> tuple[Copies, Ints]:
    """The prediction of each block, and levels [rows, BLOCK, columns, BLOCK] as
    `integer_dct.forward` has them, of a page [H, W] with sides of multiples of BLOCK.

    Of the ways that `sources` has for a block and of those that its neighbours have the one that
    costs least is taken, each tried on what a decoder has by then. No block's root mean square
    error is above half a step, but for the rounding of its pixels: where dropped coefficients would
    make it so, all are rounded to the nearest level.
    """
    height, width = page.shape
    rows, columns = height // BLOCK, width // BLOCK
    restored = np.empty_like(page)
    levels = np.zeros((rows, BLOCK, columns, BLOCK), dtype=np.int16)
    modes = np.zeros((rows, columns), dtype=np.uint8)
    away: dict[Place, Place] = {}
    new: list[tuple[int, int]] = []
    for row in range(0, height, BLOCK):
        for column in range(0, width, BLOCK):
            at = (row, column)
            place = slice(row, row + BLOCK), slice(column, column + BLOCK)
            ways = [(FLAT, None), *_copied(at, away, sources.get(at), width)]
            best = _best(page[place], restored, at, ways, step)
            restored[place] = best.pixels
            levels[row // BLOCK, :, column // BLOCK] = best.levels
            modes[row // BLOCK, column // BLOCK] = best.mode
            if best.source is not None:
                away[at] = row - best.source[0], column - best.source[1]
                if best.mode == NEW:
                    new.append((away[at][0], best.source[1]))
    ups, lefts = np.array(new, dtype=np.int64).reshape(-1, 2).T
    return Copies(modes, ups, lefts), levels


def _copied(
    at: Place, away: Mapping[Place, Place], own: Sequence[Place] | None, width: int
) -> list[tuple[int, Place | None]]:
    """Modes and sources of a block; none of one that has nothing to copy."""
    if own is None:
        return []
    row, column = at
    ways: list[tuple[int, Place | None]] = []
    for mode, beside in ((LEFT, (row, column - BLOCK)), (ABOVE, (row - BLOCK, column))):
        if beside in away:
            source = row - away[beside][0], column - away[beside][1]
            if is_there(source, at, width):
                ways.append((mode, source))
    return [*ways, *((NEW, source) for source in own)]


def _best(
    block: npt.NDArray[np.int16],
    restored: npt.NDArray[np.int16],
    at: Place,
    ways: Sequence[tuple[int, Place | None]],
    step: int,
) -> _Way:
    predicted = np.empty((len(ways), BLOCK, BLOCK))
    for index, (_, source) in enumerate(ways):
        if source is None:
            predicted[index] = flat_value(restored, *at)
        else:
            top, left = source
            predicted[index] = restored[top : top + BLOCK, left : left + BLOCK]
    basis = basis_of(BLOCK)
    # Integers that float64 holds, and one division.
    coefficients = basis @ (block - predicted) @ basis.T / (step * _UNIT)
    size = np.abs(coefficients)
    kept = np.floor(size + (1 - _LEAST_KEPT))
    far = ((size - kept) ** 2).sum(axis=(1, 2))
    most = (_NEAREST * BLOCK) ** 2
    if (far > most).any():
        nearest = np.floor(size + (1 - _NEAREST))
        kept = np.where((far > most)[:, np.newaxis, np.newaxis], nearest, kept)
        far = ((size - kept) ** 2).sum(axis=(1, 2))
    chosen = 0
    if len(ways) > 1:
        bits = _BITS_A_LEVEL * np.count_nonzero(kept, axis=(1, 2))
        bits = bits + _BITS_A_DOUBLING * np.log2(1 + kept).sum(axis=(1, 2))
        bits += [_BITS_A_MODE[mode] for mode, _ in ways]
        chosen = int(np.argmin(np.where(far > most, np.inf, far + _WORTH * bits)))
    levels = np.copysign(kept[chosen], coefficients[chosen])
    # As `differences` has it.
    left = basis.T @ levels @ basis * (step / _UNIT)
    whole = np.copysign(np.minimum(np.floor(np.abs(left) + 0.5), 255), left)
    return _Way(*ways[chosen], levels, np.maximum(np.minimum(predicted[chosen] + whole, 255), 0))
