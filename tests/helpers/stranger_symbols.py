"""The codec `symbols`, written from docs/bitstreams.md alone."""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

import brotli
import numpy as np
from stranger import apart, decode, strips, values_of
from stranger_base import Bits, Fields, Page, ppm, unzigzag
from stranger_copy import block_copy
from stranger_images import picture

Pixels = np.ndarray[Any, Any]
# Width, height, columns; a drop and a shape; left, top and a shape.
Shape = tuple[int, int, bytes]
Entry = tuple[int, Shape]
Cell = tuple[int, int, Shape]


@dataclass
class Known:
    """What a prior knows."""

    entries: list[Entry] = field(default_factory=list)
    script: bytes = b""
    gap: int = 0


def symbols(page: Page, priors: dict[bytes, bytes]) -> Pixels:
    """Code 16. priors: files by name."""
    fields = page.parameters
    way = fields.varint()
    if way == 3:
        blocks = Fields(page.sections[1])
        others = [blocks.block() for _ in range(6)]
        blocks.end()
        return block_copy(replace(page, sections=[page.sections[0], *others]))
    assert way == 0 or not page.sections[0]
    if way == 2:
        return strips(replace(page, sections=page.sections[1:]))
    if way == 1:
        chosen = fields.varint()
        fields.end()
        return picture(chosen, page.sections[1], page.height, page.width, page.channels)
    levels, planes = fields.varints(2)
    name = fields.block()
    ground, gap, size = fields.varints(3)
    fields.end()
    known = known_of(priors, name, levels) if name else Known()
    script = ppm(page.sections[0], size, 8 if known.entries else 4, known.script)
    own = shapes(page.sections[1], levels, ground, known.entries)
    numbers = np.full((planes * page.height, page.width), ground, dtype=np.uint8)
    paint(numbers, script, gap, [*known.entries], own)
    return apart(values_of(levels)[numbers], planes, page)


def paint(page: Pixels, script: bytes, gap: int, book: list[Entry], own: list[Entry]) -> None:
    """Set the cells of a script on a page."""
    fields, row, new = Fields(script), 0, iter(own)
    while fields.at < len(script):
        step = fields.byte()
        row += step - 64 if step < 255 else int.from_bytes(fields.take(2), "big") - 32768
        column = 0
        while byte := fields.byte():
            blank = gap
            if byte <= 40:
                blank = byte - 1 if byte < 40 else int.from_bytes(fields.take(2), "big")
                byte = fields.byte()
            if byte == 41:
                book.append(next(new))
                number = len(book) - 1
            elif byte < 248:
                assert byte >= 42
                number = byte - 42
            elif byte < 255:
                number = 206 + 256 * (byte - 248) + fields.byte()
            else:
                number = int.from_bytes(fields.take(2), "big")
            drop, (width, height, columns) = book[number]
            column += blank
            top = row + drop
            assert 0 <= top <= page.shape[0] - height
            assert column + width <= page.shape[1]
            shown = np.frombuffer(columns, dtype=np.uint8).reshape(width, height).T
            page[top : top + height, column : column + width] = shown
            column += width
    assert next(new, None) is None


def shapes(data: bytes, levels: int, ground: int, before: list[Entry]) -> list[Entry]:
    """A page's own shapes."""
    if not data:
        return []
    fields = Fields(data)
    way = fields.byte()
    if way == 2:
        assert levels == 2
        return _bit_shapes(fields, ground)
    size, pixels = fields.varints(2)
    table = Fields(ppm(fields.block(), size, 3, table_of(before)))
    if way == 1:
        columns = Fields(brotli.decompress(fields.rest()))
    else:
        assert way == 0
        columns = Fields(ppm(fields.rest(), pixels, 16, b"".join(e[1][2] for e in before)))
    assert len(columns.data) == pixels
    found = []
    while table.at < size:
        drop, height, width = table.varints(3)
        found.append((unzigzag(drop), (width, height, columns.take(width * height))))
    columns.end()
    return found


def table_of(entries: list[Entry]) -> bytes:
    """The table of these entries."""
    found = bytearray()
    for drop, (width, height, _) in entries:
        for number in (2 * drop if drop >= 0 else -2 * drop - 1, height, width):
            while number > 127:
                found.append(number % 128 + 128)
                number //= 128
            found.append(number)
    return bytes(found)


def _bit_shapes(fields: Fields, ground: int) -> list[Entry]:
    top, height, count, size = fields.varints(4)
    top = unzigzag(top)
    widths = Fields(ppm(fields.block(), size, 3))
    deep = -(-height // 8)
    columns = Fields(ppm(fields.rest(), count * deep, 4))
    found = []
    while widths.at < size:
        width = widths.varint()
        shown = []
        for _ in range(width):
            bits = Bits(columns.take(deep))
            shown.append([bits.take(1) for _ in range(height)])
        used = [row for row in range(height) if any(column[row] for column in shown)]
        cut = [column[used[0] : used[-1] + 1] for column in shown]
        data = bytes(1 - ground if bit else ground for column in cut for bit in column)
        found.append((top + used[0], (width, len(cut[0]), data)))
    columns.end()
    return found


def known_of(priors: dict[bytes, bytes], name: bytes, levels: int) -> Known:
    """What the prior of this name knows of pages of so many levels."""
    data = priors[name]
    assert hashlib.sha256(data).digest()[:4] == name
    numbers = np.array([(2 * (levels - 1) * v + 255) // 510 for v in range(256)], dtype=np.uint8)
    lines = lines_of(numbers[decode(data, priors)])
    book: dict[Entry, int] = {}
    counts: Counter[Entry] = Counter()
    drops: dict[Shape, list[int]] = {}
    for line in lines:
        row = reference(line, drops)
        for _, cell_top, shape in line:
            entry = (cell_top - row, shape)
            counts[entry] += 1
            if entry not in book:
                book[entry] = len(book)
                drops.setdefault(shape, []).append(entry[0])
    entries = sorted(book, key=lambda entry: (-counts[entry], book[entry]))
    pairs = itertools.chain.from_iterable(map(itertools.pairwise, lines))
    gaps = Counter(right - left - shape[0] for (left, _, shape), (right, _, _) in pairs)
    gap = min((g for g in gaps if g <= 38), key=lambda g: (-gaps[g], g), default=0)
    return Known(entries, script_of(lines, gap, entries), gap)


def lines_of(page: Pixels) -> list[list[Cell]]:
    """The cells of each line of a page of level numbers."""
    counts = np.bincount(page.ravel(), minlength=256)
    ground = max(range(256), key=lambda value: (counts[value], value))
    distance = np.abs(page.astype(np.int16) - ground)
    inked = [bool(row.any()) for row in distance]
    lines, top, most = [], 0, int(distance.max())
    while top < len(page):
        if not inked[top]:
            top += 1
            continue
        bottom = top
        while bottom < len(page) and inked[bottom]:
            bottom += 1
        lines.append(_cells(page, distance, most, top, bottom))
        top = bottom
    return lines


def _cells(page: Pixels, distance: Pixels, most: int, top: int, bottom: int) -> list[Cell]:
    strongest = distance[top:bottom].max(axis=0)
    kinds = [2 if 2 * d > most else 1 if d else 0 for d in strongest.tolist()]
    found: list[Cell] = []
    left = 0
    while left < len(kinds):
        right = left + 1
        while kinds[left] == 2 and right < len(kinds) and kinds[right] == 2:
            right += 1
        if kinds[left]:
            inked = np.flatnonzero(distance[top:bottom, left:right].any(axis=1))
            first, last = top + int(inked[0]), top + int(inked[-1]) + 1
            columns = page[first:last, left:right].T.tobytes()
            found.append((left, first, (right - left, last - first, columns)))
        left = right
    return found


def reference(line: list[Cell], drops: dict[Shape, list[int]]) -> int:
    """The row a line is measured from."""
    votes: Counter[int] = Counter()
    for _, top, shape in line:
        for drop in drops.get(shape, []):
            votes[top - drop] += shape[0]
    return min(votes, key=lambda row: (-votes[row], row)) if votes else line[0][1]


def script_of(lines: list[list[Cell]], gap: int, entries: list[Entry]) -> bytes:
    """The script of these lines."""
    book = {entry: number for number, entry in enumerate(entries)}
    drops: dict[Shape, list[int]] = {}
    for drop, shape in entries:
        drops.setdefault(shape, []).append(drop)
    out, row = bytearray(), 0
    for line in lines:
        here = reference(line, drops)
        step, row = here - row, here
        out += bytes([step + 64]) if -64 <= step < 191 else b"\xff" + _two(step + 32768)
        column = 0
        for left, top, shape in line:
            blank, column = left - column, left + shape[0]
            if blank != gap:
                out += bytes([blank + 1]) if blank <= 38 else b"\x28" + _two(blank)
            entry = (top - row, shape)
            is_new = entry not in book
            number = book.setdefault(entry, len(book))
            if is_new:
                drops.setdefault(shape, []).append(entry[0])
                out.append(41)
            elif number < 206:
                out.append(42 + number)
            elif number < 206 + 7 * 256:
                out += bytes([248 + (number - 206) // 256, (number - 206) % 256])
            else:
                out += b"\xff" + _two(number)
        out.append(0)
    return bytes(out)


def _two(number: int) -> bytes:
    return number.to_bytes(2, "big")
