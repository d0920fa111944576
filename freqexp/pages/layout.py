"""Text to lines: which characters are drawn, and where lines break."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence

from freqexp.nouns.sample import Turn

TAB_COLUMNS = 4

USER_MARK, REPLY_MARK = "User: ", "Assistant: "

JOINERS = "\u200c\u200d\u200e\u200f\u061c"
"""Characters without a picture that say how those around them join and in which direction they run;
text that is shaped needs them.
"""

VIRAMA = 9
"""The combining class of the signs that join two consonants."""

_LINE_END = re.compile(r"\r\n|[\n\r\v\f\x85\u2028\u2029]")
_WORD = re.compile(r"( *)([^ ]+)")


def conversation_text(turns: Iterable[Turn]) -> str:
    """`User: ...` and `Assistant: ...`, each from a new line."""
    return "\n".join(f"{USER_MARK}{turn.user}\n{REPLY_MARK}{turn.assistant}" for turn in turns)


def drawable_lines(text: str, keep: str = "") -> list[str]:
    """Lines of composed characters (NFC), tabs expanded, other white space as spaces, invisible
    characters left out but those to `keep`.
    """
    lines = _LINE_END.split(unicodedata.normalize("NFC", text))
    return ["".join(_visible(line.expandtabs(TAB_COLUMNS), keep)) for line in lines]


def _visible(line: str, keep: str) -> Iterator[str]:
    for character in line:
        if character.isspace():
            yield " "
        elif "\ud800" <= character <= "\udfff":
            yield "\N{REPLACEMENT CHARACTER}"  # half of a surrogate pair
        # Control and format characters (zero-width joiners, direction marks, soft hyphens) have
        # no picture.
        elif character in keep or unicodedata.category(character) not in ("Cc", "Cf"):
            yield character


def needs_shaping(character: str) -> bool:
    """Whether a character is drawn wrongly where each one stands by itself, from left to right:
    letters that are written from right to left, vowels that join the letter before them, and signs
    that join two consonants.
    """
    backwards = unicodedata.bidirectional(character) in ("R", "AL")
    joins = unicodedata.category(character) == "Mc" or unicodedata.combining(character) == VIRAMA
    return backwards or joins


def wrap(line: str, advance: Callable[[str], float], width: float) -> list[str]:
    """Break one line into lines of at most `width`; `advance` gives one character's width in the
    same unit.

    Lines break at spaces, which then vanish; a word wider than a line breaks anywhere. One
    character stands on a line even if it is wider than that.
    """
    lines = [""]
    used = 0.0
    for spaces, word in _WORD.findall(line):
        gap = len(spaces) * advance(" ")
        length = sum(map(advance, word))
        if used + gap + length <= width:
            lines[-1] += spaces + word
            used += gap + length
            continue
        if lines[-1]:
            lines.append("")
        pieces = _break_word(word, advance, width)
        lines[-1] = pieces[0]
        lines.extend(pieces[1:])
        used = sum(map(advance, lines[-1]))
    return lines


def _break_word(word: str, advance: Callable[[str], float], width: float) -> Sequence[str]:
    pieces = [""]
    used = 0.0
    for character in word:
        step = advance(character)
        if pieces[-1] and used + step > width:
            pieces.append("")
            used = 0.0
        pieces[-1] += character
        used += step
    return pieces
