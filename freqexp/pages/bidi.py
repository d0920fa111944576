"""The order of a line with letters from right to left: Unicode's bidirectional algorithm (UAX #9)
for text without explicit embeddings, overrides and isolates, which pages leave out.
"""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Iterator, Sequence

_STRONG = {"L": "L", "R": "R", "AL": "R"}
# Numbers count as letters from right to left where neutrals look round for a direction.
_SIDES = {"L": "L", "R": "R", "EN": "R", "AN": "R"}
_NEUTRAL = ("B", "S", "WS", "ON")
_OPENING, _CLOSING = (
    "([{\u2045\u27e6\u27e8\u3008\u300a\u300c\u300e\u3010\uff08\uff3b\uff5b",
    (")]}\u2046\u27e7\u27e9\u3009\u300b\u300d\u300f\u3011\uff09\uff3d\uff5d"),
)


def levels_of(text: str) -> list[int]:
    """The embedding level of each character of a paragraph; odd ones run from right to left. The
    paragraph's own is that of its first letter.
    """
    kinds = [unicodedata.bidirectional(character) or "L" for character in text]
    base = next((_STRONG[kind] for kind in kinds if kind in _STRONG), "L")
    _resolve_weak(kinds, base)
    _resolve_brackets(text, kinds, base)
    _resolve_neutral(kinds, base)
    if base == "L":
        return [{"L": 0, "R": 1}.get(kind, 2) for kind in kinds]
    return [1 if kind == "R" else 2 for kind in kinds]


def _resolve_weak(kinds: list[str], base: str) -> None:
    """Rules W1 to W7."""
    before = base
    for place, kind in enumerate(kinds):
        # Joiners are as much a part of the character before them as accents.
        kinds[place] = before = before if kind in ("NSM", "BN") else kind
    strong = base
    for place, kind in enumerate(kinds):
        strong = kind if kind in _STRONG else strong
        if kind == "EN" and strong == "AL":
            kinds[place] = "AN"
    kinds[:] = ["R" if kind == "AL" else kind for kind in kinds]
    for place in range(1, len(kinds) - 1):
        one, kind, other = kinds[place - 1 : place + 2]
        if one == other and ((kind == "ES" and one == "EN") or (kind == "CS" and one in _NUMBERS)):
            kinds[place] = one
    for start, end in _stretches(kinds, ("ET",)):
        if "EN" in (*kinds[max(0, start - 1) : start], *kinds[end : end + 1]):
            kinds[start:end] = ["EN"] * (end - start)
    strong = base
    for place, kind in enumerate(kinds):
        strong = kind if kind in _STRONG else strong
        if kind in ("ES", "ET", "CS"):
            kinds[place] = "ON"
        elif kind == "EN" and strong == "L":
            kinds[place] = "L"


_NUMBERS = ("EN", "AN")


def _resolve_brackets(text: str, kinds: list[str], base: str) -> None:
    """Rule N0: a pair of brackets takes one direction."""
    for opening, closing in sorted(_pairs(text, kinds)):
        inside = {_SIDES[kind] for kind in kinds[opening + 1 : closing] if kind in _SIDES}
        if not inside:
            continue
        side = base
        if base not in inside:
            earlier = reversed(kinds[:opening])
            side = next((_SIDES[kind] for kind in earlier if kind in _SIDES), base)
        kinds[opening] = kinds[closing] = side


def _pairs(text: str, kinds: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Where brackets open and close."""
    opened: list[tuple[str, int]] = []
    for place, character in enumerate(text):
        if kinds[place] != "ON":
            continue
        if character in _OPENING:
            opened.append((_CLOSING[_OPENING.index(character)], place))
        elif character in [wanted for wanted, _ in opened]:
            while True:
                wanted, start = opened.pop()
                if wanted == character:
                    yield start, place
                    break


def _resolve_neutral(kinds: list[str], base: str) -> None:
    """Rules N1 and N2."""
    for start, end in _stretches(kinds, _NEUTRAL):
        before = _SIDES[kinds[start - 1]] if start else base
        after = _SIDES[kinds[end]] if end < len(kinds) else base
        kinds[start:end] = [before if before == after else base] * (end - start)


def _stretches(kinds: Sequence[str], among: Sequence[str]) -> list[tuple[int, int]]:
    """Where stretches of these kinds begin and end."""
    found = []
    for inside, group in itertools.groupby(range(len(kinds)), lambda place: kinds[place] in among):
        places = list(group)
        if inside:
            found.append((places[0], places[-1] + 1))
    return found


def visual_order(levels: Sequence[int]) -> list[int]:
    """Rule L2: the pieces of a line from left to right, given their levels."""
    order = list(range(len(levels)))
    for level in range(max(levels, default=0), 0, -1):
        raised = [levels[piece] >= level for piece in order]
        start = 0
        for inside, group in itertools.groupby(raised):
            end = start + len(list(group))
            if inside:
                order[start:end] = order[start:end][::-1]
            start = end
    return order
