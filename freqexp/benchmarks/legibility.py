"""How much of a page's text a reader that transcribes has got wrong."""

from __future__ import annotations

from collections.abc import Sequence


def character_error_rate(drawn: Sequence[str], read: Sequence[str]) -> float | None:
    """Insertions, deletions and substitutions that make what was read of what was drawn, over the
    characters drawn; above 1 where more was read than is there, None where nothing was drawn.

    drawn, read: the pages, with the same number of lines each. Lines are compared one by one,
    without white space at their ends, which no reader can see.
    """
    wrong = total = 0
    for page, transcript in zip(drawn, read, strict=True):
        for line, other in zip(page.split("\n"), transcript.split("\n"), strict=True):
            wanted, found = line.strip(), other.strip()
            total += len(wanted)
            wrong += 0 if wanted == found else edit_distance(found, wanted)
    return wrong / total if total else None


def edit_distance(one: Sequence[object], other: Sequence[object]) -> int:
    """Levenshtein distance: insertions, deletions and substitutions of `one` into `other`."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, start=1):
        before, row[0] = row[0], i
        for j, b in enumerate(other, start=1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (a != b))
    return row[-1]
