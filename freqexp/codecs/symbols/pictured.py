"""Pages that are no text as copied blocks, no farther off than gray levels would be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from freqexp.codecs.block_copy.page import Copier, read
from freqexp.codecs.levels import background, near
from freqexp.coding.bitstream import Cursor, varint
from freqexp.nouns.page import Pixels

_LEAST_STEP = 4
_PARTS = 6


@dataclass(frozen=True)
class PictureCode:
    """head: the parameters. sections: copies, and all that they leave."""

    head: bytes
    sections: tuple[bytes, bytes]

    def __len__(self) -> int:
        return len(self.head) + sum(map(len, self.sections))


def pictured(page: Pixels, levels: int, contrast: int, planes: int) -> PictureCode | None:
    """The code of a page [H, W] by copied blocks whose step is the distance of so many levels, so
    that no block of 8 x 8 pixels is farther off than rounding to them can make it: half a step. A
    page of which something vanishes (see `kept_in_sight`) takes half the step, and so on.

    planes: that the page has one below the other. None where the step would be below _LEAST_STEP:
    there a file without loss but the rounding is smaller.
    """
    step = 255 // (levels - 1)
    if step < _LEAST_STEP:
        return None
    copier = Copier(page, planes)
    while step >= _LEAST_STEP:
        head, sections = copier.write(step)
        shape = (len(page) // planes, page.shape[1], 3)
        shown = read(head, sections, shape if planes == 3 else shape[:2])
        if _in_sight(page, shown, contrast):
            copies, *parts = sections
            packed = b"".join(varint(len(part)) + part for part in parts)
            return PictureCode(head, (copies, packed))
        step //= 2
    return None


def read_pictured(head: bytes, sections: tuple[bytes, ...], shape: tuple[int, ...]) -> Pixels:
    """The page [planes x H, W]; shape: of the page with its channels. Raises BitstreamError."""
    cursor = Cursor(sections[1], "symbols")
    parts = [cursor.block() for _ in range(_PARTS)]
    cursor.end()
    return read(head, [sections[0], *parts], shape)


def _in_sight(page: Pixels, shown: Pixels, contrast: int) -> bool:
    """Whether all that differs from the ground by `contrast` has something near it that is shown,
    by half of that.
    """
    ground = background(page)
    there, seen = (np.abs(one.astype(np.int16) - ground) for one in (page, shown))
    return not bool(((there >= contrast) & ~near(2 * seen >= contrast)).any())
