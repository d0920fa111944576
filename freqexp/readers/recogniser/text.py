"""From a line recogniser's outputs to lines of text, and from lines to the text that was wrapped.

Where a character stands is known from the column of the token that named it. That is what tells a
line that was wrapped from one that ended.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

# In characters: less room than this behind a line means that it was cut at the page's edge, and a
# space is narrower than most characters.
_FULL = 1.25
_SPACE = 0.6


@dataclass(frozen=True)
class Line:
    """One line as it was read.

    text: without spaces at its ends. columns: of the token that named each character, on a grid of
    `width` columns. sure: probability the recogniser gave each character. reach: column of the last
    character on the page that stands farthest right.
    """

    text: str
    columns: tuple[int, ...]
    sure: tuple[float, ...]
    width: int
    reach: int

    def after(self, count: int) -> Line:
        """What follows the first `count` characters and the spaces behind them."""
        while count < len(self.text) and self.text[count].isspace():
            count += 1
        rest = (self.text[count:], self.columns[count:], self.sure[count:])
        return Line(*rest, self.width, self.reach)

    @property
    def pitch(self) -> float:
        """Mean columns from a character to the next; 0 with fewer than two."""
        steps = len(self.columns) - 1
        return (self.columns[-1] - self.columns[0]) / steps if steps > 0 else 0.0


@dataclass(frozen=True, eq=False)
class Outputs:
    """The best output of each token of a line: [tokens] each.

    best: which output. probability: the recogniser's of it. columns: of the token on its grid.
    """

    best: npt.NDArray[np.int64]
    probability: npt.NDArray[np.float32]
    columns: npt.NDArray[np.int64]


def decode_page(lines: Sequence[Outputs], width: int, alphabet: Sequence[str]) -> list[Line]:
    """A page's lines by CTC's greedy decoding: repeated outputs count once, blanks not at all.

    alphabet: the text of each output; output 0 is the blank.
    """
    decoded = []
    for line in lines:
        first = np.append(True, line.best[1:] != line.best[:-1])[: len(line.best)]
        named = np.flatnonzero(first & (line.best != 0))
        characters = [alphabet[index] for index in line.best[named]]
        inked = [place for place, character in enumerate(characters) if not character.isspace()]
        kept = slice(inked[0], inked[-1] + 1) if inked else slice(0)
        columns = tuple(line.columns[named][kept].tolist())
        decoded.append(
            ("".join(characters[kept]), columns, tuple(line.probability[named][kept].tolist()))
        )
    reach = max((columns[-1] for _, columns, _ in decoded if columns), default=0)
    return [Line(*line, width, reach) for line in decoded]


def reflow(lines: Sequence[Line]) -> str:
    """The text that was broken into these lines, without white space at its ends."""
    parts = [line.text for line in lines[:1]]
    for before, after in itertools.pairwise(lines):
        parts += [_between(before, after), after.text]
    return "".join(parts).strip()


def _between(before: Line, after: Line) -> str:
    """What stood between two lines: nothing or a space where the first was full, else a newline."""
    pitch = before.pitch or after.pitch
    if not before.text or not after.text or not pitch:
        return "\n"
    end = before.columns[-1]
    if before.width - end < _FULL * pitch:
        return "" if after.columns[0] < pitch else " "
    word = after.columns[len(after.text.split()[0]) - 1] - after.columns[0] + pitch
    return " " if end + _SPACE * pitch + word > before.reach else "\n"
