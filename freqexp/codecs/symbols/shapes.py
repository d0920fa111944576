"""The shapes of a page as bytes."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import numpy as np

from freqexp.codecs.pitch import Flags
from freqexp.codecs.symbols.book import Entry
from freqexp.codecs.symbols.segment import Shape
from freqexp.coding.bitstream import BitstreamError, Cursor, varint
from freqexp.coding.ppm import compress, decompress

PPM, BROTLI, BITS = range(3)
"""How pixels are coded: by contexts of columns before; by repeats; as one bit each."""

MOST_PIXELS = 1 << 25
_FEW_PIXELS = 1 << 16
"""So many are coded by Brotli at its best, which takes a second for ten times as many."""

_TABLE_ORDER, _COLUMN_ORDER, _BITS_ORDER = 3, 16, 4


def table_of(entries: Sequence[Entry]) -> bytes:
    """Rows below the reference (zigzag), height and width of each, as varints."""
    numbers = (
        number
        for drop, shape in entries
        for number in (2 * drop if drop >= 0 else -2 * drop - 1, shape.height, shape.width)
    )
    return b"".join(map(varint, numbers))


def pixels_of(entries: Sequence[Entry]) -> bytes:
    """The columns of all, one after the other."""
    return b"".join(shape.data for _, shape in entries)


def pack(
    entries: Sequence[Entry], colours: tuple[int, int] | None, before: Sequence[Entry]
) -> bytes:
    """Entries as bytes, the shortest way. colours: the ground's value and the only other one, where
    there are no others. before: entries that the decoder knows.

    Raises OverflowError for more entries than a table has room for.
    """
    import brotli

    if not entries:
        return b""
    table, pixels = table_of(entries), pixels_of(entries)
    quality = 11 if len(pixels) <= _FEW_PIXELS else 5
    coded = [(BROTLI, bytes(brotli.compress(pixels, quality=quality, lgwin=18)))]
    # Too many, or what PPMd's library would not decode again.
    with contextlib.suppress(OverflowError):
        coded.append((PPM, compress(pixels, _COLUMN_ORDER, pixels_of(before))))
    head = compress(table, _TABLE_ORDER, table_of(before))
    found = [
        b"".join([bytes([way]), *map(varint, (len(table), len(pixels), len(head))), head, data])
        for way, data in coded
    ]
    if colours is not None:
        with contextlib.suppress(OverflowError):
            found.append(_pack_bits(entries, colours[0]))
    return min(found, key=len)


def unpack(data: bytes, colours: tuple[int, int] | None, before: Sequence[Entry]) -> list[Entry]:
    """Inverse of `pack`. Raises BitstreamError."""
    if not data:
        return []
    cursor = Cursor(data, "symbols")
    way = cursor.take(1)[0]
    if way == BITS and colours is not None:
        return _unpack_bits(cursor, colours)
    if way not in (PPM, BROTLI):
        raise BitstreamError(f"symbols: shapes of kind {way}")
    size, count, head = cursor.varint(), cursor.varint(), cursor.block()
    if max(size, count) > MOST_PIXELS:
        raise BitstreamError(f"symbols: shapes of {count} pixels")
    table = decompress(head, size, _TABLE_ORDER, table_of(before))
    rest = cursor.take(len(data) - cursor.at)
    if way == PPM:
        pixels = decompress(rest, count, _COLUMN_ORDER, pixels_of(before))
    else:
        pixels = _brotli(rest, count)
    return _apart(table, pixels)


def _apart(table: bytes, pixels: bytes) -> list[Entry]:
    cursor, columns, entries = Cursor(table, "symbols"), Cursor(pixels, "symbols"), list[Entry]()
    while cursor.at < len(table):
        drop, height, width = cursor.varint(), cursor.varint(), cursor.varint()
        if not height or not width:
            raise BitstreamError("symbols: an empty shape")
        shape = Shape(height, columns.take(height * width))
        entries.append((-(drop + 1) // 2 if drop % 2 else drop // 2, shape))
    columns.end()
    return entries


def _brotli(data: bytes, size: int) -> bytes:
    import brotli

    decoder, found = brotli.Decompressor(), b""
    try:
        while len(found) < size and not decoder.is_finished():
            more = decoder.process(data, output_buffer_limit=size - len(found))
            data = b""
            if not more:
                break
            found += more
    except brotli.error as error:
        raise BitstreamError(f"symbols: {error}") from error
    if len(found) != size or not decoder.is_finished():
        raise BitstreamError("symbols: the shapes' pixels have a wrong length")
    return found


def _pack_bits(entries: Sequence[Entry], ground: int) -> bytes:
    """Columns of one height, from the uppermost row of all entries to the lowest, a bit a pixel."""
    top = min(drop for drop, _ in entries)
    height = max(drop + shape.height for drop, shape in entries) - top
    widths = b"".join(varint(shape.width) for _, shape in entries)
    columns = np.zeros((sum(shape.width for _, shape in entries), height), dtype=bool)
    at = 0
    for drop, shape in entries:
        inside = np.frombuffer(shape.data, dtype=np.uint8).reshape(-1, shape.height) != ground
        columns[at : at + shape.width, drop - top : drop - top + shape.height] = inside
        at += shape.width
    bits = np.packbits(columns, axis=1).tobytes()
    head = compress(widths, _TABLE_ORDER)
    numbers = (2 * top if top >= 0 else -2 * top - 1, height, len(columns), len(widths), len(head))
    return b"".join([bytes([BITS]), *map(varint, numbers), head, compress(bits, _BITS_ORDER)])


def _unpack_bits(cursor: Cursor, colours: tuple[int, int]) -> list[Entry]:
    turned, height, columns, size = (cursor.varint() for _ in range(4))
    head = cursor.block()
    top = -(turned + 1) // 2 if turned % 2 else turned // 2
    if not height or height * columns > MOST_PIXELS or size > 5 * columns:
        raise BitstreamError(f"symbols: shapes of {columns} columns of {height}")
    widths = Cursor(decompress(head, size, _TABLE_ORDER), "symbols")
    deep = -(-height // 8)
    rest = cursor.take(len(cursor.data) - cursor.at)
    bits = np.frombuffer(decompress(rest, columns * deep, _BITS_ORDER), dtype=np.uint8)
    shown: Flags = np.unpackbits(bits.reshape(columns, deep), axis=1, count=height).astype(bool)
    entries, at = list[Entry](), 0
    while widths.at < size:
        width = widths.varint()
        inside = shown[at : at + width]
        rows = np.flatnonzero(inside.any(axis=0))
        if len(inside) != width or not len(rows):
            raise BitstreamError("symbols: an empty shape")
        cut = inside[:, rows[0] : rows[-1] + 1]
        data = np.where(cut, colours[1], colours[0]).astype(np.uint8).tobytes()
        entries.append((top + int(rows[0]), Shape(cut.shape[1], data)))
        at += width
    if at != columns:
        raise BitstreamError("symbols: columns in no shape")
    return entries
