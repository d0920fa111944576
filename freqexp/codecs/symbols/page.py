"""A page of level numbers as script and shapes, and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from freqexp.codecs.levels import background
from freqexp.codecs.symbols import shapes
from freqexp.codecs.symbols.book import Book
from freqexp.codecs.symbols.known import NOTHING, Known
from freqexp.codecs.symbols.script import cells, usual_gap, write
from freqexp.codecs.symbols.segment import Cell
from freqexp.codecs.symbols.touching import lines_apart
from freqexp.coding.bitstream import BitstreamError, Cursor, varint
from freqexp.coding.ppm import compress, decompress
from freqexp.nouns.page import Pixels

_ORDER, _KNOWN_ORDER = 4, 8
_SCRIPT_A_PIXEL = 4


@dataclass(frozen=True)
class PageCode:
    """head: the ground's level, the usual gap and the length of the script. script, pictures:
    compressed. new_pixels: in the shapes of `pictures`, where it was just made.
    """

    head: bytes
    script: bytes
    pictures: bytes
    new_pixels: int = 0

    def __len__(self) -> int:
        return len(self.head) + len(self.script) + len(self.pictures)


@dataclass(frozen=True)
class Cut:
    """A page in its cells, by line. ground: the level of what is between them."""

    lines: list[list[Cell]]
    ground: int


def cut(page: Pixels) -> Cut:
    """The cells of a page of level numbers, uint8 [H, W]."""
    ground = background(page)
    return Cut(lines_apart(page, ground), ground)


def encode(page: Cut, highest: int, known: Known = NOTHING) -> PageCode:
    """The code of a page. highest: level there is.

    Raises OverflowError for one of too many shapes, or too many blank rows on end.
    """
    usual = known.usual if known.entries else usual_gap(page.lines)
    written = write(page.lines, usual, Book(known.entries))
    order = _KNOWN_ORDER if known.entries else _ORDER
    head = varint(page.ground) + varint(usual) + varint(len(written.script))
    pictures = shapes.pack(written.new, _colours(page.ground, highest), known.entries)
    new_pixels = sum(len(shape.data) for _, shape in written.new)
    return PageCode(head, compress(written.script, order, known.script), pictures, new_pixels)


def decode(code: PageCode, shape: tuple[int, int], highest: int, known: Known = NOTHING) -> Pixels:
    """Inverse of `encode`. highest: level there is. Raises BitstreamError."""
    cursor = Cursor(code.head, "symbols")
    ground, usual, size = cursor.varint(), cursor.varint(), cursor.varint()
    cursor.end()
    area = shape[0] * shape[1]
    if ground > highest or usual > shape[1] or size > _SCRIPT_A_PIXEL * area + shape[0]:
        raise BitstreamError(f"symbols: level {ground}, gap {usual}, a script of {size} bytes")
    order = _KNOWN_ORDER if known.entries else _ORDER
    script = decompress(code.script, size, order, known.script)
    new = iter(shapes.unpack(code.pictures, _colours(ground, highest), known.entries))
    page = np.full(shape, ground, dtype=np.uint8)
    painted = 0
    for cell in cells(script, usual, Book(known.entries), new):
        height, width = cell.shape.height, cell.shape.width
        bottom, right = cell.top + height, cell.left + width
        painted += height * width
        if cell.top < 0 or bottom > shape[0] or right > shape[1] or painted > area:
            raise BitstreamError("symbols: a shape outside of the page, or too many")
        picture = np.frombuffer(cell.shape.data, dtype=np.uint8).reshape(width, height)
        page[cell.top : bottom, cell.left : right] = picture.T
    if next(new, None) is not None or int(page.max()) > highest:
        raise BitstreamError("symbols: a shape that stands nowhere, or levels that there are not")
    return page


def _colours(ground: int, highest: int) -> tuple[int, int] | None:
    """The ground's level and the other one, where there are two."""
    return (ground, 1 - ground) if highest == 1 else None
