"""What coder and decoder know before a page: shapes, and how they follow each other."""

from __future__ import annotations

import functools
import hashlib
from collections import Counter
from dataclasses import dataclass

import numpy as np

from freqexp.codecs.levels import background, numbers_of
from freqexp.codecs.symbols.book import Book, Entry
from freqexp.codecs.symbols.script import usual_gap, write
from freqexp.codecs.symbols.segment import Shape, lines_of
from freqexp.nouns.page import Pixels

NAME_BYTES = 4
_SAMPLE_ROWS = 1000


@dataclass(frozen=True, eq=False)
class Known:
    """entries: the most frequent first. script: of the pages they come from. usual: its gap."""

    entries: tuple[Entry, ...] = ()
    script: bytes = b""
    usual: int = 0

    @functools.cached_property
    def shapes(self) -> frozenset[Shape]:
        """Of all entries."""
        return frozenset(shape for _, shape in self.entries)


NOTHING = Known()


def known_of(page: Pixels) -> Known:
    """What a page [H, W] of level numbers teaches."""
    lines = lines_of(page, background(page))
    book, counts = Book(), Counter[Entry]()
    for line in lines:
        reference = book.reference(line, line[0].top)
        for cell in line:
            entry = (cell.top - reference, cell.shape)
            counts[entry] += 1
            if book.number(entry) is None:
                book.add(entry)
    order = sorted(book.entries, key=lambda entry: -counts[entry])
    usual = usual_gap(lines)
    return Known(tuple(order), write(lines, usual, Book(order)).script, usual)


@dataclass(frozen=True, eq=False)
class Prior:
    """A page of examples, [H, W] uint8, and its file. digest: SHA-256 of it, in hex."""

    page: Pixels
    size_bytes: int
    digest: str

    @staticmethod
    def of(page: Pixels, data: bytes) -> Prior:
        """page: what `data` decodes to."""
        return Prior(page, len(data), hashlib.sha256(data).hexdigest())

    @property
    def name(self) -> bytes:
        """What bitstreams call it."""
        return bytes.fromhex(self.digest)[:NAME_BYTES]

    @functools.cached_property
    def sample(self) -> frozenset[Shape]:
        """Shapes of its first rows at two levels."""
        rows = numbers_of(2)[self.page[:_SAMPLE_ROWS]]
        lines = lines_of(rows, background(rows))
        return frozenset(cell.shape for line in lines for cell in line)

    def known(self, numbers: bytes) -> Known:
        """What it teaches of pages whose values become these level numbers."""
        return _known(self, numbers)


@functools.lru_cache(maxsize=32)
def _known(prior: Prior, numbers: bytes) -> Known:
    return known_of(np.frombuffer(numbers, dtype=np.uint8)[prior.page])
