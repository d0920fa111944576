"""Text whose letters join, stack and run from right to left, as libraqm shapes it."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from freqexp.pages.bidi import levels_of, visual_order
from freqexp.pages.layout import JOINERS, VIRAMA, drawable_lines
from freqexp.pages.typeface import RULER_PX, ZOOM, Picture, Typeface, averaged, load_font
from freqexp.pages.typesetter import Line, Typesetter

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

_WORD = re.compile(r"( *)([^ ]+)")


class Piece(NamedTuple):
    """Text of one font and one direction, without a space or nothing else.

    face: which of the typeface's fonts. level: odd from right to left.
    """

    text: str
    face: int
    level: int


@dataclass(frozen=True)
class _Paragraph:
    """A line of text before it breaks. text: as it is shown. source: as it was. For each character:
    levels; faces, which font draws it.
    """

    text: str
    source: str
    levels: list[int]
    faces: list[int]

    def pieces(self, start: int, end: int) -> Iterator[Piece]:
        """What lies between two characters, in reading order."""
        for place in range(start, end + 1):
            if place == end or (place > start and self._kind(place) != self._kind(start)):
                if place > start:
                    yield Piece(self.text[start:place], self.faces[start], self.levels[start])
                start = place

    def _kind(self, place: int) -> tuple[int, int, bool]:
        return self.faces[place], self.levels[place], self.text[place] == " "


class ShapedSetter(Typesetter[Piece]):
    """Words as they are written: joined letters, ligatures, kerning, and both directions in a line.
    Lines begin at the left margin whichever direction they have.
    """

    def __init__(self, face: Typeface, size_px: float) -> None:
        self._face = face
        self._size_px = size_px
        paths = [own.path for own in face.faces]
        self._fonts = [load_font(path, size_px * ZOOM, shapes=True) for path in paths]
        self._rulers = [load_font(path, RULER_PX, shapes=True) for path in paths]
        # lru_cache on methods would keep every typeface alive.
        self._width_px = functools.cache(self._measured_px)
        self._picture = functools.cache(self._drawn)

    def lines(self, text: str, width_px: float) -> list[Line[Piece]]:
        """See `Typesetter`. Breaks as `layout.wrap` does, and within words only where no letters
        are torn from their signs.
        """
        found = []
        for line in drawable_lines(text, JOINERS):
            paragraph = self._paragraph(line)
            for start, end in self._breaks(paragraph, width_px):
                pieces = list(paragraph.pieces(start, end))
                order = visual_order([piece.level for piece in pieces])
                shown, source = paragraph.text[start:end], paragraph.source[start:end]
                absent = [c for c, own in zip(source, shown, strict=True) if c != own]
                found.append(Line(shown, "".join(absent), [pieces[place] for place in order]))
        return found

    def advance_px(self, piece: Piece) -> float:
        """See `Typesetter`."""
        return self._width_px(piece.text, piece.face, piece.level % 2 == 1)

    def ink(self, piece: Piece, phase: int) -> Picture | None:
        """See `Typesetter`."""
        return self._picture(piece.text, piece.face, piece.level % 2 == 1, phase)

    def _paragraph(self, line: str) -> _Paragraph:
        faces: list[int] = []
        text = ""
        for start, end in _clusters(line, 0, len(line)):
            cluster = line[start:end]
            drawn = [c for c in cluster if c not in JOINERS]
            whole = [n for n, own in enumerate(self._face.faces) if all(map(own.has, drawn))]
            if whole:
                text += cluster
                faces += [whole[0]] * len(cluster)
            else:
                shown = [c if c in JOINERS else self._face.shown(c) for c in cluster]
                text += "".join(shown)
                faces += [self._face.faces.index(self._face.face_of(c)) for c in shown]
        return _Paragraph(text, line, levels_of(text), faces)

    def _breaks(self, paragraph: _Paragraph, width_px: float) -> list[tuple[int, int]]:
        """Where lines start and end."""
        lines = [(0, 0)]
        used = 0.0
        for match in _WORD.finditer(paragraph.text):
            start, (word, end) = match.start(), match.span(2)
            gap, length = self._length(paragraph, start, word), self._length(paragraph, word, end)
            if used + gap + length <= width_px:
                lines[-1] = (lines[-1][0], end)
                used += gap + length
                continue
            if lines[-1] == (0, 0):
                lines.pop()
            lines += self._broken(paragraph, word, end, width_px)
            used = self._length(paragraph, *lines[-1])
        return lines

    def _broken(
        self, paragraph: _Paragraph, start: int, end: int, width_px: float
    ) -> list[tuple[int, int]]:
        """A word in parts that fit, at least one cluster each."""
        parts = []
        last = start
        for _, edge in _clusters(paragraph.text, start, end):
            if last > start and self._length(paragraph, start, edge) > width_px:
                parts.append((start, last))
                start = last
            last = edge
        return [*parts, (start, end)]

    def _length(self, paragraph: _Paragraph, start: int, end: int) -> float:
        return sum(map(self.advance_px, paragraph.pieces(start, end)))

    def _measured_px(self, text: str, face: int, backwards: bool) -> float:
        length = self._rulers[face].getlength(text, direction=_direction(backwards))
        return float(length) * self._size_px / RULER_PX

    def _drawn(self, text: str, face: int, backwards: bool, phase: int) -> Picture | None:
        font: FreeTypeFont = self._fonts[face]
        mask, corner = font.getmask2(text, mode="L", anchor="ls", direction=_direction(backwards))
        return averaged(mask, corner, phase)


def _direction(backwards: bool) -> str:
    return "rtl" if backwards else "ltr"


def _clusters(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Letters with the signs that belong to them, and consonants that join."""
    for place in range(start + 1, end + 1):
        if place == end or not _joins(text[place - 1], text[place]):
            yield start, place
            start = place


def _joins(before: str, character: str) -> bool:
    if before == " " or character == " ":
        return False
    if character in JOINERS or unicodedata.category(character).startswith("M"):
        return True
    return unicodedata.combining(before) == VIRAMA or before == "\N{ZERO WIDTH JOINER}"
