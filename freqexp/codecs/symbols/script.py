"""A page's cells as a string of bytes, which repeats itself as text does.

A line is its reference row less that of the line before, its cells, and END. A cell is the blank
columns before it, unless they are as many as is usual, and the number of its entry, or NEW for one
that was not there before, which gets the next number.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from freqexp.codecs.symbols.book import Book, Entry
from freqexp.codecs.symbols.segment import Cell
from freqexp.coding.bitstream import BitstreamError, Cursor

END = 0
GAPS = 40
"""1 to 39: 0 to 38 blank columns; 40: as many as the next two bytes say."""
NEW = 41
FIRST = 42
"""From here on, the numbers 0 to 205."""
PAIRS = 248
"""248 to 254: the next byte says which of 256 numbers each; 255: the next two bytes do."""
SINGLES = PAIRS - FIRST
MOST = 1 << 16

_UP, _FAR = 64, 255


@dataclass(frozen=True)
class Written:
    """script: see above. new: entries that were added on the way."""

    script: bytes
    new: tuple[Entry, ...]


def usual_gap(lines: Sequence[Sequence[Cell]]) -> int:
    """The most common number of blank columns between two cells, 0 to 38; of several the least."""
    gaps = Counter(
        right.left - left.left - left.shape.width
        for line in lines
        for left, right in itertools.pairwise(line)
    )
    return min(
        (gap for gap in gaps if gap < GAPS - 1), key=lambda gap: (-gaps[gap], gap), default=0
    )


def write(lines: Sequence[Sequence[Cell]], usual: int, book: Book) -> Written:
    """The script of a page's lines; `book` gets its new entries. Lines without a cell are none.

    usual: blank columns before a cell that are not written.
    Raises OverflowError for a page of more entries than there are numbers.
    """
    out, known, row = bytearray(), len(book.entries), 0
    for line in lines:
        reference = book.reference(line, line[0].top)
        out += _step(reference - row)
        row, column = reference, 0
        for cell in line:
            out += _gap(cell.left - column, usual)
            column = cell.left + cell.shape.width
            entry = (cell.top - reference, cell.shape)
            number = book.number(entry)
            if number is None:
                book.add(entry)
            out += bytes([NEW]) if number is None else _number(number)
        out.append(END)
    if len(book.entries) > MOST:
        raise OverflowError
    return Written(bytes(out), tuple(book.entries[known:]))


def cells(script: bytes, usual: int, book: Book, new: Iterator[Entry]) -> Iterator[Cell]:
    """The cells of a script, in turn; `book` gets the entries of `new`.

    Raises BitstreamError for a script that `write` never gives.
    """
    cursor, row = Cursor(script, "symbols"), 0
    while cursor.at < len(script):
        first = cursor.take(1)[0]
        row += int.from_bytes(cursor.take(2), "big") - MOST // 2 if first == _FAR else first - _UP
        column = 0
        while (byte := cursor.take(1)[0]) != END:
            gap = usual
            if byte <= GAPS:
                gap = byte - 1 if byte < GAPS else int.from_bytes(cursor.take(2), "big")
                byte = cursor.take(1)[0]
            column += gap
            entry = _entry(byte, cursor, book, new)
            yield Cell(column, row + entry[0], entry[1])
            column += entry[1].width


def _entry(byte: int, cursor: Cursor, book: Book, new: Iterator[Entry]) -> Entry:
    if byte == NEW:
        entry = next(new, None)
        if entry is None or book.number(entry) is not None:
            raise BitstreamError("symbols: a new shape that is none")
        book.add(entry)
        return entry
    if byte < FIRST:
        raise BitstreamError("symbols: a script without the number of a shape")
    number = byte - FIRST
    if byte == 255:
        number = int.from_bytes(cursor.take(2), "big")
    elif byte >= PAIRS:
        number = SINGLES + 256 * (byte - PAIRS) + cursor.take(1)[0]
    if number >= len(book.entries):
        raise BitstreamError(f"symbols: shape {number}, there are {len(book.entries)}")
    return book.entries[number]


def _step(rows: int) -> bytes:
    if -_UP <= rows < _FAR - _UP:
        return bytes([rows + _UP])
    return bytes([_FAR]) + (rows + MOST // 2).to_bytes(2, "big")


def _gap(columns: int, usual: int) -> bytes:
    if columns == usual:
        return b""
    if columns < GAPS - 1:
        return bytes([columns + 1])
    return bytes([GAPS]) + columns.to_bytes(2, "big")


def _number(number: int) -> bytes:
    if number < SINGLES:
        return bytes([FIRST + number])
    high, low = divmod(number - SINGLES, 256)
    if high < 255 - PAIRS:
        return bytes([PAIRS + high, low])
    return bytes([255]) + number.to_bytes(2, "big")
