"""Vision tokens, written from docs/bitstreams.md alone."""

from __future__ import annotations

import math
import struct
import zlib
from typing import Any

import brotli
import numpy as np
from stranger_base import Adaptive, Bits, Fields, RangeCoder, Symbols, Table, cosines, rows

Array = np.ndarray[Any, Any]
WIDTHS = {0: 4, 1: 2, 2: 2, 3: 8}


def decode_tokens(data: bytes, codebook: bytes = b"") -> tuple[list[int], Array]:
    """Raster places of a page's tokens, and the tokens, float64 [n, channels] of values that the
    dtype has. codebook: the file of the shared one.
    """
    assert data[:5] == b"FQXT\x02"
    assert zlib.crc32(data[:-4]) == int.from_bytes(data[-4:], "little")
    fields = Fields(data[5:-4])
    kind = fields.byte()
    height, width, channels, dtype = fields.varints(4)
    blocks = [fields.block() for _ in range(3 if kind == 3 else 4)]
    fields.end()
    if kind == 3:
        return codes(blocks, height, width, dtype, codebook)
    places = list(range(height * width))
    if blocks[1]:
        bits = Bits(blocks[1])
        places = [place for place in places if bits.take(1)]
        bits.end()
    if kind == 2:
        assert not blocks[0]
        assert not blocks[2]
        return places, planes(blocks[3], dtype).reshape(len(places), channels)
    assert kind == 1
    spectrum = coefficients(blocks[0], blocks[2], blocks[3], height, width, channels)
    return places, rounded(inverse(spectrum), dtype).reshape(-1, channels)[places]


def planes(data: bytes, dtype: int) -> Array:
    """Numbers of planes, as float64."""
    whole = zlib.decompress(data)
    count, width = len(whole) // WIDTHS[dtype], WIDTHS[dtype]
    raw = b"".join(
        bytes(whole[plane * count + number] for plane in range(width)) for number in range(count)
    )
    if dtype == 1:
        # The upper half of a float32.
        return (np.frombuffer(raw, "<u2").astype("<u4") << 16).view("<f4").astype(float)
    return np.frombuffer(raw, {0: "<f4", 2: "<f2", 3: "<f8"}[dtype]).astype(float)


def rounded(values: Array, dtype: int) -> Array:
    """Rounded to a dtype, as float64."""
    if dtype == 3:
        return values
    short = values.astype("<f4")
    if dtype == 1:
        # To 8 bits of mantissa, halves to even.
        fraction, exponent = np.frexp(short.astype(float))
        found: Array = np.ldexp(np.rint(np.ldexp(fraction, 8)), exponent - 8)
        return found
    return short.astype({0: "<f4", 2: "<f2"}[dtype]).astype(float)


def inverse(spectrum: Array) -> Array:
    """The inverse DCT of [rows, columns, channels]."""
    down, across = cosines(spectrum.shape[0]), cosines(spectrum.shape[1])
    found: Array = np.einsum("ui,vj,uvc->ijc", down, across, spectrum)
    return found


def coefficients(
    parameters: bytes, scales: bytes, values: bytes, height: int, width: int, channels: int
) -> Array:
    """Coefficients, float64 [rows, columns, channels]."""
    fields = Fields(parameters)
    bits_of = list(fields.take(3))
    wide = fields.byte()
    limits, counts = fields.varints(2), fields.varints(3)
    fields.end()
    numbers = planes(scales, 3 if wide else 0).tolist()
    scale_of = []
    for count in counts:
        scale_of.append(numbers[:count] * (channels if count == 1 else 1))
        numbers = numbers[count:]
    assert not numbers
    groups: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for u in range(height):
        for v in range(width):
            far = u * u + v * v
            band = sum(far >= limit for limit in limits)
            if bits_of[band]:
                groups.setdefault((band, math.isqrt(far)), []).append((u, v))
    fields = Fields(values)
    table_rows = Fields(zlib.decompress(fields.block()))
    coder, bits = RangeCoder(fields.block()), Bits(fields.rest())
    order = sorted(groups)
    tables = rows(table_rows, [2 ** min(bits_of[band], 8) for band, _ in order])
    table_rows.end()
    high = {}
    for group, row in zip(order, tables, strict=True):
        symbols = Symbols(row)
        high[group] = [symbols.next(coder) for _ in range(len(groups[group]) * channels)]
    coder.end()
    found = np.zeros((height, width, channels))
    for group in order:
        b = bits_of[group[0]]
        low = b - min(b, 8)
        for index, symbol in enumerate(high[group]):
            (u, v), channel = groups[group][index // channels], index % channels
            number, scale = (symbol << low) + bits.take(low), scale_of[group[0]][channel]
            assert b == 1 or number < 2**b - 1
            step = scale if b == 1 else max(scale / (2 ** (b - 1) - 1), 2.0**-1022)
            level = number - 0.5 if b == 1 else float(number - 2 ** (b - 1) + 1)
            found[u, v, channel] = level * step
    bits.end()
    return found


def codes(
    blocks: list[bytes], height: int, width: int, dtype: int, codebook: bytes
) -> tuple[list[int], Array]:
    """Kind 3."""
    name, own, indices = blocks
    fields = Fields(codebook if name else own)
    head = Fields(fields.block())
    group_rows, group_columns, band_count = head.take(3)
    edges = struct.unpack("<dd", head.rest()) if band_count == 3 else ()
    channels = fields.varint()
    books = []
    for _ in range(band_count):
        count, size = fields.varints(2)
        books.append(planes(fields.block(), 2).reshape(count, size, channels))
    mean: list[Array] = []
    while len(mean) < 2 and (lines := fields.varint()):
        mean.append(planes(fields.block(), 2).reshape(lines, channels))
    priors = [_prior(brotli.decompress(fields.block()), *b.shape[:2]) for b in books if name]
    fields.end()
    high, wide = -(-height // group_rows), -(-width // group_columns)
    bands: list[list[int]] = [[] for _ in books]
    for place in range(high * wide):
        f = math.sqrt((place // wide) ** 2 + (place % wide) ** 2)
        bands[sum(f >= edge for edge in edges)].append(place)
    coder = RangeCoder(indices)
    total = np.zeros((high * wide, channels))
    for number, (book, band) in enumerate(zip(books, bands, strict=True)):
        count, size = book.shape[:2]
        adaptive = [Adaptive(size) for _ in range(count)]
        first: dict[int, int] = {}
        for place in band:
            for m in range(count):
                if name:
                    left = first.get(place - 1, size) if place % wide else size
                    classes, tables = priors[number]
                    chosen = tables[m][classes[m][left if m == 0 else first[place]]]
                    index = coder.symbol(chosen)
                else:
                    index = adaptive[m].next(coder)
                if m == 0:
                    first[place] = index
                total[place] += book[m, index]
    coder.end()
    found = total.reshape(high, wide, channels)
    if band_count == 3:
        found = inverse(found)
    if mean:
        found = found + (mean[0][:, None] + mean[1][None])
    places = [
        row * group_rows * width + column * group_columns
        for row in range(high)
        for column in range(wide)
    ]
    return places, rounded(found, dtype).reshape(-1, channels)


def _prior(data: bytes, count: int, size: int) -> tuple[list[bytes], list[list[Table]]]:
    fields = Fields(data)
    classes = [fields.take(size + 1) for _ in range(count)]
    scale = max(2**14, 16 * size)
    tables = [
        [
            Table([max(1, round(scale * 2.0 ** (-t / 2))) for t in fields.take(size)])
            for _ in range(min(16, size + 1) if size <= 1024 else 1)
        ]
        for _ in range(count)
    ]
    fields.end()
    return classes, tables
