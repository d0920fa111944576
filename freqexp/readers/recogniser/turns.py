"""MRCR's answer by locating the n-th turn with the wanted request in what was read.

No model of language takes part: requests and marks are compared by their letters, so what is found
depends on what could be read.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from freqexp.errors import UserError, fault
from freqexp.readers.recogniser.text import Line, reflow

SURE = 0.85
"""From this probability on a character is what was read; below it may be any other."""

_QUESTION = re.compile(
    r"Prepend (?P<prefix>\S+) to the (?P<ordinal>\d+)(?:st|nd|rd|th) \(1 indexed\) "
    r"(?P<request>.+?)\. Do not include any other text in your response\.",
    re.DOTALL,
)
# MRCR's questions name a request without these words, with which its turns begin.
_OPENINGS = ("write a ", "write an ")
# Misread letters that recognisers are sure of.
_LOOK_ALIKES = str.maketrans("1|i!0>》＞›»〉≥", "llllo>>>>>>>", "")
_REQUEST_TOLERANCE = 3
_MARK_TOLERANCE = 3
# Room in characters before a line whose mark of one character was not read.
_INDENT = 1.5
_IMPOSSIBLE = 1_000_000


@dataclass(frozen=True)
class Wanted:
    """What a question asks for: the `ordinal`-th (from 1) reply to `request`, after `prefix`."""

    prefix: str
    ordinal: int
    request: str


def parse_question(question: str) -> Wanted:
    """The parts of MRCR's question. Raises UserError for any other question."""
    match = _QUESTION.search(question)
    if match is None:
        allowed = "MRCR's, 'Prepend ... to the 2nd (1 indexed) poem about tapirs. Do not ...'"
        raise UserError(f"{fault('question', question[:80], allowed)} with model=ppocr")
    return Wanted(match["prefix"], int(match["ordinal"]), match["request"])


def find_reply(lines: Sequence[Line], wanted: Wanted, marks: tuple[str, str]) -> str | None:
    """The reply to the wanted turn, as it was read; None when there are fewer such turns.

    lines: of all pages. marks: what stands before a request and before a reply.
    """
    starts = _starts(lines, wanted.request, marks)
    if len(starts) < wanted.ordinal:
        return None
    start = starts[wanted.ordinal - 1]
    end = next((n for n in range(start + 1, len(lines)) if _ends_before(lines, n, marks)), None)
    reply = list(lines[start:end])
    if reply and marks[1]:
        reply[0] = reply[0].after(mark_length(reply[0], marks[1]) or 0)
    return reflow(reply)


def _starts(lines: Sequence[Line], request: str, marks: tuple[str, str]) -> list[int]:
    """The lines after each turn's request, for the turns that ask `request`."""
    short = _folded(marks[0] + request)
    texts = [_folded(marks[0] + opening + request) for opening in _OPENINGS]
    found, number = [], 0
    while number < len(lines):
        # Without these words and a mark it may be the title of a reply.
        marked = len(_folded(marks[0])) < 2 or mark_length(lines[number], marks[0]) is not None
        count = _request_lines(lines[number:], [*texts, short] if marked else texts)
        if count:
            found.append(number + count)
        number += count or 1
    return found


def _request_lines(lines: Sequence[Line], texts: Sequence[str]) -> int:
    """How many lines from the first on are one of `texts`; 0 when none is."""
    longest = max(len(text) + len(text) // _REQUEST_TOLERANCE for text in texts)
    best, count = _IMPOSSIBLE, 0
    letters: list[tuple[str, bool]] = []
    for number, line in enumerate(lines, start=1):
        letters += _letters(line)
        if not line.text or len(letters) > longest:
            break
        for text in texts:
            allowed = len(text) // _REQUEST_TOLERANCE
            if abs(len(letters) - len(text)) > allowed:
                continue
            cost = _costs(letters, text)[-1]
            if cost <= allowed and cost < best:
                best, count = cost, number
    return count


def _ends_before(lines: Sequence[Line], number: int, marks: tuple[str, str]) -> bool:
    """Whether line `number` begins a turn: its mark stands there, or the reply's on the next."""
    if mark_length(lines[number], marks[0]) is not None:
        return True
    follows = number + 1 < len(lines) and bool(marks[1])
    return follows and mark_length(lines[number + 1], marks[1]) is not None


def mark_length(line: Line, mark: str) -> int | None:
    """How many of the line's first characters are `mark`, however damaged; None when it is not
    there.

    A mark of one character may be lost altogether, with room left where it stood: 0.
    """
    text = _folded(mark)
    if not line.text:
        return None
    letters = _letters(line)[: 2 * len(text)]
    costs = _costs(letters, text)
    cost = min(costs)
    if cost <= len(text) // _MARK_TOLERANCE and cost < len(text):
        consumed = len(costs) - 1 - costs[::-1].index(cost)
        places = [place for place, c in enumerate(line.text) if _folded(c)]
        return places[consumed - 1] + 1
    indented = len(text) == 1 and line.pitch and line.columns[0] > _INDENT * line.pitch
    return 0 if indented else None


def _costs(letters: Sequence[tuple[str, bool]], text: str) -> list[int]:
    """Edit distance of `text` to the first 0, 1, ... of the letters read.

    A letter that was not read costs 1, so does one that may have been misread; a letter that is
    surely another one is no misreading, and `text` does not stand there.
    """
    row = [0] + [0] * len(letters)
    for place, (_, sure) in enumerate(letters):
        row[place + 1] = row[place] + (_IMPOSSIBLE if sure else 1)
    for wanted in text:
        above, row = row, [row[0] + 1]
        for place, (letter, sure) in enumerate(letters):
            wrong = _IMPOSSIBLE if sure else 1
            swapped = above[place] + (0 if letter == wanted else wrong)
            row.append(min(swapped, above[place + 1] + 1, row[-1] + wrong))
    return row


def _letters(line: Line) -> list[tuple[str, bool]]:
    """The folded characters of a line without its spaces, and whether each was read surely."""
    return [
        (folded, sure >= SURE)
        for character, sure in zip(line.text, line.sure, strict=True)
        for folded in _folded(character)
    ]


def _folded(text: str) -> str:
    """Without spaces, case, accents and differences that are easily misread."""
    return "".join(map(_folded_character, text))


@functools.lru_cache(maxsize=4096)
def _folded_character(character: str) -> str:
    if character.isspace():
        return ""
    plain = unicodedata.normalize("NFKD", character.casefold())
    return "".join(c for c in plain if not unicodedata.combining(c)).translate(_LOOK_ALIKES)
