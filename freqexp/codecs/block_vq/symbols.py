"""Entropy coding of the code words of a page, line by line, with adaptive contexts.

A code word is named by its class, given the two classes before it, and by which of the places near
the pen it takes. The pen moves by the advance of each class, so that the first place nearly always
is the right one and costs next to nothing. A code word of the page's own is named by its number and
the gap before it. All odds are integers and adapt to the page.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from freqexp.codecs.block_vq.codebook import END, FIRST, OWN, SPACE, UNIT, Group, Integers, Word
from freqexp.coding.adaptive import PRIOR, Adaptive, Coder, Reader, Writer
from freqexp.coding.bitstream import BitstreamError

_STEP_ONE, _STEP_TWO = PRIOR // 24, PRIOR // 3
_MOST_SYMBOLS, _MOST_PER_BYTE = 4096, 64
_RANKS = 8
_GAPS = 256
_NO_GAP = 64


@dataclass(frozen=True)
class Stamp:
    """A code word at a place: word of the page's list, its left edge, spaces before it."""

    word: int
    left: int
    spaces: int = 0


@dataclass
class Line:
    """Code words on one baseline row, from left to right."""

    baseline: int
    stamps: list[Stamp] = field(default_factory=list)


class Classes:
    """The class of what comes next, given the two before: trained odds and those of the page."""

    def __init__(self, odds: Integers) -> None:
        total = odds.sum(axis=1, keepdims=True)
        self._one = 1 + odds * PRIOR // np.maximum(total, 1)
        self._two: dict[tuple[int, int], Integers] = {}

    def code(self, coder: Coder, value: int | None, before: tuple[int, int]) -> int:
        """Code one class, see `Coder.symbol`."""
        first = self._one[before[1]]
        second = self._two.get(before)
        if second is None:
            second = self._two[before] = np.zeros(len(first), dtype=np.int64)
        found = coder.symbol(first + second, value)
        first[found] += _STEP_ONE
        second[found] += _STEP_TWO
        return found


class Script:
    """What encoder and decoder share: the same steps in the same order."""

    def __init__(self, coder: Coder, group: Group | None, odds: Integers, own: int) -> None:
        """own: how many code words of its own the page has, numbered after the group's."""
        self._coder = coder
        self._group = group
        self._shared = len(group.words) if group else 0
        self._own = own
        self._classes = Classes(odds)
        self._ranks = Adaptive(_RANKS)
        self._drops = Adaptive(256)
        self._gaps = Adaptive(_GAPS)
        self._bytes = Adaptive(256)
        self._pages = Adaptive(max(own, 1))
        self._variants = Adaptive(max(self._shared, 1))

    def lines(self, words: Sequence[Word], lines: Sequence[Line] | None) -> list[Line]:
        """Code `lines`, or decode them (None).

        words: all code words of the page, the group's first.
        """
        count = self._wide(len(lines) if lines is not None else None, "lines")
        found: list[Line] = []
        baseline, start = 0, 0
        for index in range(count):
            line = lines[index] if lines is not None else None
            baseline = self._baseline(baseline, line.baseline if line else None)
            found.append(Line(baseline))
            source = iter(line.stamps) if line else None
            start = self._line(found[-1], words, source, start)
        return found

    def _line(
        self, line: Line, words: Sequence[Word], source: Iterator[Stamp] | None, start: int
    ) -> int:
        """Code one line; returns where its pen started."""
        pen, before, edge, first = start, (END, END), 0, True
        while True:
            stamp = next(source, None) if source is not None else None
            kind = spaces = 0
            if source is not None:
                kind = words[stamp.word].kind if stamp else END
            left = stamp.spaces if stamp else 0
            while True:
                asked = None if source is None else (SPACE if left else kind)
                coded = self._classes.code(self._coder, asked, before)
                before = (before[1], coded)
                if coded != SPACE:
                    break
                left, spaces = left - 1, spaces + 1
                pen += self._advance(SPACE)
            if coded == END:
                return start
            found = self._place(coded, pen, edge, words, stamp)
            line.stamps.append(Stamp(found.word, found.left, spaces))
            word = words[found.word]
            edge = found.left + word.ink.shape[1]
            pen = self._moved(pen, found.left * UNIT + word.origin, first or coded == OWN)
            if first:
                start, first = pen, False
            pen += self._advance(coded) if coded != OWN else word.ink.shape[1] * UNIT

    def _advance(self, kind: int) -> int:
        return int(self._group.advance[kind]) if self._group else 0

    @staticmethod
    def _moved(pen: int, seen: int, jumped: bool) -> int:
        """The pen, corrected to an eighth of a pixel around the place of the code word."""
        slack = UNIT // 8
        return seen if jumped else min(max(pen, seen - slack), seen + slack)

    def _place(
        self, kind: int, pen: int, edge: int, words: Sequence[Word], stamp: Stamp | None
    ) -> Stamp:
        """Which code word of a class stands where."""
        if kind == OWN:
            if not self._own:
                raise BitstreamError("indices: a code word of a page that has none of its own")
            asked = stamp.word - self._shared if stamp else None
            word = self._shared + self._pages.code(self._coder, asked)
            gap = self._gap(stamp.left - edge if stamp else None, OWN)
            return Stamp(word, edge + gap)
        near = self._near(kind, pen, words)
        rank = None
        if stamp:
            here = (stamp.word, stamp.left)
            rank = near.index(here) if here in near else _RANKS - 1
        rank = self._ranks.code(self._coder, rank)
        if rank < len(near):
            return Stamp(*near[rank])
        word = self._variants.code(self._coder, stamp.word if stamp else None)
        if words[word].kind != kind:
            raise BitstreamError("indices: a code word of another class")
        return Stamp(word, edge + self._gap(stamp.left - edge if stamp else None, SPACE))

    def _near(self, kind: int, pen: int, words: Sequence[Word]) -> list[tuple[int, int]]:
        """The places nearest the pen that code words of a class can take."""
        assert self._group is not None
        found = []
        for index in self._group.of_kind.get(kind, ()):
            at = pen - words[index].origin
            low = at // UNIT
            found += [(at - low * UNIT, index, low), (low * UNIT + UNIT - at, index, low + 1)]
        return [(index, left) for _, index, left in sorted(found)[: _RANKS - 1]]

    def _gap(self, value: int | None, context: object) -> int:
        """A distance in pixels, -64 and up; large ones in two bytes."""
        short = None if value is None else min(value + _NO_GAP, _GAPS - 1)
        found = self._gaps.code(self._coder, short, context)
        if found < _GAPS - 1:
            return found - _NO_GAP
        return self._wide(None if value is None else value + _NO_GAP, "gap") - _NO_GAP

    def _baseline(self, before: int, value: int | None) -> int:
        step = None if value is None else min(value - before, 255)
        found = self._drops.code(self._coder, step)
        if found < 255:
            return before + found
        return before + self._wide(None if value is None else value - before, "baseline")

    def _wide(self, value: int | None, context: object) -> int:
        """A number below 2^24."""
        parts = [None] * 3 if value is None else [value >> 16, value >> 8 & 255, value & 255]
        found = 0
        for place, part in enumerate(parts):
            found = found << 8 | self._bytes.code(self._coder, part, (context, place))
        return found


def flat_odds() -> Integers:
    """Odds of classes without a codebook."""
    return np.ones((FIRST, FIRST), dtype=np.int64)


def encode_lines(
    lines: Sequence[Line], words: Sequence[Word], group: Group | None, odds: npt.NDArray[np.int64]
) -> bytes:
    """The code words of a page as bytes. words: the group's and the page's own."""
    writer = Writer()
    shared = len(group.words) if group else 0
    Script(writer, group, odds, len(words) - shared).lines(words, lines)
    return writer.data()


def decode_lines(
    data: bytes, words: Sequence[Word], group: Group | None, odds: npt.NDArray[np.int64]
) -> list[Line]:
    """Inverse of `encode_lines`. Raises BitstreamError."""
    reader = Reader(data, _MOST_SYMBOLS + _MOST_PER_BYTE * len(data))
    shared = len(group.words) if group else 0
    lines = Script(reader, group, odds, len(words) - shared).lines(words, None)
    reader.end()
    return lines
