"""The codec `block_vq`, written from docs/bitstreams.md alone."""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass
from typing import Any

import brotli
import numpy as np
from stranger import apart, levels_of_blocks, transformed
from stranger_base import Adaptive, Fields, Page, RangeCoder, Table
from stranger_images import picture

Pixels = np.ndarray[Any, Any]


@dataclass
class Word:
    """A code word. ink: [h, w] of 0 to 15."""

    ink: Pixels
    top: int
    kind: int = 2
    origin: int = 0


@dataclass
class Group:
    """A group of a codebook, and the odds of its classes."""

    words: list[Word]
    advance: list[int]
    odds: list[list[int]]


NONE = Group([], [0, 0, 0], [[1, 1, 1]] * 3)


def block_vq(page: Page, codebooks: dict[bytes, bytes]) -> Pixels:
    """Code 11. codebooks: files by name."""
    block, step, planes, number, own, smallest = page.parameters.varints(6)
    name = page.parameters.block()
    page.parameters.end()
    group = NONE
    if name:
        assert hashlib.sha256(codebooks[name]).digest()[:8] == name
        group = groups_of(codebooks[name])[number]
    words = [*group.words, *own_words(page.sections[1], own)]
    height, width = planes * page.height, page.width
    ink = np.zeros((height, width), dtype=np.int64)
    for word, row, left in Script(page.sections[0], group, words).placed():
        for y, x in np.argwhere(word.ink):
            if 0 <= row + word.top + y < height and 0 <= left + x < width:
                ink[row + word.top + y, left + x] += 17 * int(word.ink[y, x])
    found = np.maximum(255 - ink, 0)
    down, across = -(-height // block), -(-width // block)
    levels = levels_of_blocks(down * across, block, step, smallest, page.sections[2:])
    residual = np.clip(transformed(levels, block, step), 0, 255)
    residual = residual - np.clip(transformed(-levels, block, step), 0, 255)
    whole = residual.reshape(down, across, block, block).transpose(0, 2, 1, 3)
    found = found + whole.reshape(down * block, across * block)[:height, :width]
    return apart(np.clip(found, 0, 255).astype(np.uint8), planes, page)


def pictures(data: bytes, sizes: list[tuple[int, int]]) -> list[Pixels]:
    """Pictures of these heights and widths."""
    height, width = max(h for h, _ in sizes), sum(w for _, w in sizes)
    strip = (255 - picture(data[0], data[1:], height, width, 1).astype(int)) // 17
    found, left = [], 0
    for h, w in sizes:
        found.append(strip[:h, left : left + w])
        left += w
    return found


def own_words(data: bytes, count: int) -> list[Word]:
    """The page's own code words."""
    if not count:
        assert not data
        return []
    fields = Fields(data)
    table = brotli.decompress(fields.block())
    assert len(table) == 3 * count
    heights, widths, tops = (table[part * count : (part + 1) * count] for part in range(3))
    found = pictures(fields.rest(), list(zip(heights, widths, strict=True)))
    return [Word(ink, top - 128) for ink, top in zip(found, tops, strict=True)]


def groups_of(data: bytes) -> list[Group]:
    """The groups of a codebook."""
    assert data[:5] == b"FQVQ\x01"
    assert zlib.crc32(data[:-4]) == int.from_bytes(data[-4:], "little")
    fields = Fields(data[5:-4])
    table = Fields(brotli.decompress(fields.block()))
    classes = table.varint()
    odds = [[round(2 ** (k / 8)) for k in table.take(classes)] for _ in range(classes)]
    table.end()
    groups = []
    while fields.at < len(fields.data):
        head = Fields(brotli.decompress(fields.block()))
        count = head.varint()
        columns = [head.take(count) for _ in range(8)]
        advance = [int.from_bytes(head.take(2), "little", signed=True) for _ in range(classes)]
        head.end()
        sizes = list(zip(columns[0], columns[1], strict=True))
        words = []
        for index, ink in enumerate(pictures(fields.block(), sizes)):
            _, _, top, kind, *origin, _, _ = (column[index] for column in columns)
            top -= 256 if top > 127 else 0
            words.append(Word(ink, top, kind, int.from_bytes(origin, "little", signed=True)))
        groups.append(Group(words, advance, odds))
    return groups


class Script:
    """Indices: which code words stand where."""

    def __init__(self, data: bytes, group: Group, words: list[Word]) -> None:
        self._coder = RangeCoder(data)
        self._group = group
        self._words = words
        self._shared = len(group.words)
        self._bytes, self._drops, self._gaps = Adaptive(256), Adaptive(256), Adaptive(256)
        self._ranks = Adaptive(8)
        self._own = Adaptive(len(words) - self._shared)
        self._any = Adaptive(self._shared)
        self._one = [[1 + 2**14 * odd // sum(row) for odd in row] for row in group.odds]
        self._two: dict[tuple[int, int], list[int]] = {}

    def placed(self) -> list[tuple[Word, int, int]]:
        """Code words, their baselines and left edges."""
        found: list[tuple[Word, int, int]] = []
        baseline = start = 0
        for _ in range(self._wide("lines")):
            down = self._drops.next(self._coder)
            baseline += down if down < 255 else self._wide("baseline")
            line, start = self._line(start)
            found += [(word, baseline, left) for word, left in line]
        self._coder.end()
        return found

    def _line(self, start: int) -> tuple[list[tuple[Word, int]], int]:
        found: list[tuple[Word, int]] = []
        pen, edge, before = start, 0, (0, 0)
        while kind := self._class(before):
            before = (before[1], kind)
            if kind == 1:
                pen += self._group.advance[1]
                continue
            if kind == 2:
                word = self._words[self._shared + self._own.next(self._coder)]
                left = edge + self._gap(2)
            else:
                word, left = self._near(kind, pen, edge)
            edge = left + word.ink.shape[1]
            seen = 64 * left + word.origin
            pen = seen if kind == 2 or not found else min(max(pen, seen - 8), seen + 8)
            if not found:
                start = pen
            pen += 64 * word.ink.shape[1] if kind == 2 else self._group.advance[kind]
            found.append((word, left))
        return found, start

    def _near(self, kind: int, pen: int, edge: int) -> tuple[Word, int]:
        places = []
        for number, word in enumerate(self._group.words):
            if word.kind == kind:
                low, over = divmod(pen - word.origin, 64)
                places += [(over, number, low), (64 - over, number, low + 1)]
        places = sorted(places)[:7]
        rank = self._ranks.next(self._coder)
        if rank < len(places):
            return self._words[places[rank][1]], places[rank][2]
        word = self._words[self._any.next(self._coder)]
        return word, edge + self._gap(1)

    def _class(self, before: tuple[int, int]) -> int:
        one = self._one[before[1]]
        two = self._two.setdefault(before, [0] * len(one))
        found = self._coder.symbol(Table([a + b for a, b in zip(one, two, strict=True)]))
        one[found] += 682
        two[found] += 5461
        return found

    def _gap(self, context: int) -> int:
        found = self._gaps.next(self._coder, context)
        return (found if found < 255 else self._wide("gap")) - 64

    def _wide(self, kind: str) -> int:
        high, middle, low = (self._bytes.next(self._coder, (kind, place)) for place in range(3))
        return high * 65536 + middle * 256 + low
