"""The shapes that a page is made of, by number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from freqexp.codecs.symbols.segment import Cell, Shape

Entry = tuple[int, Shape]
"""Rows from a line's reference down to the shape's first, and the shape."""


class Book:
    """Entries by number, in the order in which they were added."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        """entries: known from the start."""
        self.entries: list[Entry] = []
        self._numbers: dict[Entry, int] = {}
        self._drops: dict[Shape, list[int]] = {}
        for entry in entries:
            self.add(entry)

    def add(self, entry: Entry) -> int:
        """A new one, and its number."""
        number = self._numbers[entry] = len(self.entries)
        self.entries.append(entry)
        self._drops.setdefault(entry[1], []).append(entry[0])
        return number

    def number(self, entry: Entry) -> int | None:
        """Its number; None for an unknown one."""
        return self._numbers.get(entry)

    def reference(self, line: Sequence[Cell], otherwise: int) -> int:
        """The row that entries of a line are measured from: the one for which most columns of it
        are known, the uppermost of several; `otherwise` where none is.
        """
        votes: Counter[int] = Counter()
        for cell in line:
            for drop in self._drops.get(cell.shape, ()):
                votes[cell.top - drop] += cell.shape.width
        return min(votes, key=lambda row: (-votes[row], row)) if votes else otherwise
