"""A decoder of pages written from docs/bitstreams.md alone, in plain Python: slow, and with nothing
of freqexp in it. What it checks are assertions.
"""

from __future__ import annotations

import lzma
import struct
import zlib
from typing import Any

import numpy as np
from stranger_base import Bits, Fields, Page, RangeCoder, Symbols, cosines, flag_table, ppm, rows
from stranger_images import IMAGES, downsample, picture

Pixels = np.ndarray[Any, Any]


def container(data: bytes) -> Page:
    """The container of a page."""
    assert data[:5] == b"FQXP\x01"
    assert zlib.crc32(data[:-4]) == int.from_bytes(data[-4:], "little")
    code, channels, height, width = struct.unpack("<BBHH", data[5:11])
    assert channels in (1, 3)
    assert height * width * channels in range(1, 2**25 + 1)
    fields = Fields(data[11:-4])
    parameters = Fields(fields.block())
    sections = [fields.block() for _ in range(fields.varint())]
    fields.end()
    return Page(code, channels, height, width, parameters, sections)


def decode(data: bytes, files: dict[bytes, bytes] | None = None) -> Pixels:
    """A page, uint8 [H, W] or [H, W, 3]. files: priors and codebooks by name."""
    page = container(data)
    if page.code == 1:
        return block_dct(page)
    if page.code in IMAGES:
        assert not page.parameters.data
        return picture(IMAGES[page.code], page.sections[0], page.height, page.width, page.channels)
    if page.code == 9:
        (chosen,) = page.parameters.varints(1)
        page.parameters.end()
        return picture(chosen, page.sections[0], page.height, page.width, page.channels)
    if page.code == 10:
        return downsample(page)
    if page.code == 11:
        from stranger_vq import block_vq

        return block_vq(page, files or {})
    if page.code == 16:
        from stranger_symbols import symbols

        return symbols(page, files or {})
    if page.code == 18:
        from stranger_copy import block_copy

        return block_copy(page)
    assert page.code == 17, page.code
    return strips(page)


def block_dct(page: Page) -> Pixels:
    """Code 1."""
    block, step, smallest = page.parameters.varints(3)
    page.parameters.end()
    down, across = -(-page.height // block), -(-page.width // block)
    count = page.channels * down * across
    levels = levels_of_blocks(count, block, step, smallest, page.sections)
    values = transformed(levels, block, step).reshape(page.channels, down, across, block, block)
    pixels = np.clip(values, 0, 255).transpose(1, 3, 2, 4, 0)
    whole = pixels.reshape(down * block, across * block, page.channels).astype(np.uint8)
    found = whole[: page.height, : page.width]
    return found[..., 0] if page.channels == 1 else found


def transformed(levels: Pixels, block: int, step: int) -> Pixels:
    """floor(s y / 2^28 + 1/2) of levels [n, block, block]; not limited."""
    basis = np.rint(2**14 * cosines(block)).astype(np.int64)
    found: Pixels = step * (basis.T @ levels @ basis)
    return (found + 2**27) // 2**28


def levels_of_blocks(
    count: int,
    block: int,
    step: int,
    smallest: int,
    sections: list[bytes],
    *,
    differences: bool = True,
) -> Pixels:
    """Levels int64 [count, block, block] of masks, values and scales. differences: whether DCs are
    stored as differences, or as they are.
    """
    masks = RangeCoder(sections[0])
    fields = Fields(sections[1])
    values, bits = RangeCoder(fields.block()), Bits(fields.rest())
    scales = Fields(sections[2])
    tables = rows(scales, [6] * 12 + [18] * 14)
    scales.end()
    kept = [[flag_table(code) for code in row] for row in tables[:12]]
    lengths_by_size = [Symbols(row) for row in tables[12:25]]
    assert all(row[0] == 0 for row in tables[12:24])
    seconds = [flag_table(code) for code in tables[25]]

    length: dict[tuple[int, int, int], int] = {}
    for n in range(count):
        length[0, 0, n] = lengths_by_size[12].next(values)
    for d in range(1, 2 * block - 1):
        found: list[tuple[int, int, int, int]] = []
        for u in range(max(0, d - block + 1), min(d, block - 1) + 1):
            for n in range(count):
                size = _size(length, u, d - u, n)
                table = kept[size][6 * d // (2 * block - 1)]
                assert table is not None
                if masks.symbol(table):
                    found.append((size, u, d - u, n))
        # Sorting is stable: of one size, in order.
        for size, u, v, n in sorted(found, key=lambda one: one[0]):
            length[u, v, n] = lengths_by_size[size].next(values)
    ordered = sorted(place for place, bit_count in length.items() if bit_count)
    second = {}
    for wanted in range(2, 18):
        for place in ordered:
            if length[place] == wanted:
                table = seconds[wanted]
                assert table is not None
                second[place] = values.symbol(table)
    masks.end()
    values.end()

    excess = {place: 1 for place in ordered}
    for wanted in range(2, 18):
        for place in ordered:
            if length[place] == wanted:
                excess[place] = (2 + second[place] << wanted - 2) + bits.take(wanted - 2)
    levels = np.zeros((count, block, block), dtype=np.int64)
    for u, v, n in ordered:
        magnitude = excess[u, v, n] + (smallest - 1 if u or v else 0)
        levels[n, u, v] = -magnitude if bits.take(1) else magnitude
    bits.end()
    if differences:
        levels[:, 0, 0] = np.cumsum(levels[:, 0, 0])
    assert np.abs(levels).max() <= 256 * block // step + 1
    return levels


def _size(length: dict[tuple[int, int, int], int], u: int, v: int, n: int) -> int:
    total = 0
    for up, left, weight in ((0, 1, 2), (1, 0, 2), (1, 1, 1), (0, 2, 1), (2, 0, 1)):
        if (u - up, v - left) != (0, 0):
            bit_count = length.get((u - up, v - left, n), 0)
            total += weight * (1 << bit_count - 1 if bit_count else 0)
    return min(total.bit_length(), 11)


def values_of(n: int) -> Pixels:
    """The value of each of n levels."""
    top = n - 1
    return np.array([(510 * i + top) // (2 * top) for i in range(n)], dtype=np.uint8)


def apart(page: Pixels, planes: int, given: Page) -> Pixels:
    """A page with its channels, of planes one above the other."""
    if given.channels == 1:
        assert planes == 1
        return page
    parts = page.reshape(planes, given.height, given.width)
    return np.stack([parts[min(channel, planes - 1)] for channel in range(3)], axis=2)


def strips(page: Page) -> Pixels:
    """Code 17."""
    coder, levels, planes, bits, pitch, first = page.parameters.varints(6)
    page.parameters.end()
    height, above = planes * page.height, -first % pitch
    count, deep = -(-(height + above) // pitch), -(-pitch * bits // 8)
    (data,) = page.sections
    if coder:
        chain = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 26}]
        records = lzma.decompress(data, lzma.FORMAT_RAW, filters=chain)
    else:
        records = ppm(data, count * page.width * deep, 16)
    assert len(records) == count * page.width * deep
    numbers = np.zeros((count * pitch, page.width), dtype=np.uint8)
    for index in range(count * page.width):
        strip, column = divmod(index, page.width)
        record = Bits(records[index * deep : (index + 1) * deep])
        for row in range(pitch):
            numbers[strip * pitch + row, column] = record.take(bits)
    found = values_of(levels)[numbers[above : above + height]]
    return apart(found, planes, page)
