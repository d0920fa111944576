"""Text to lines of pieces, each of which has a width and a picture."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from freqexp.pages.layout import drawable_lines, needs_shaping, wrap
from freqexp.pages.typeface import Picture, Typeface

Piece = TypeVar("Piece")


@dataclass(frozen=True)
class Line(Generic[Piece]):
    """text: what is drawn, in reading order. missing: see `Page`. pieces: from left to right."""

    text: str
    missing: str
    pieces: Sequence[Piece]


class Typesetter(ABC, Generic[Piece]):
    """Breaks text into lines and knows what their pieces look like."""

    @abstractmethod
    def lines(self, text: str, width_px: float) -> list[Line[Piece]]:
        """Any text as lines of at most `width_px`."""

    @abstractmethod
    def advance_px(self, piece: Piece) -> float:
        """How far the pen moves."""

    @abstractmethod
    def ink(self, piece: Piece, phase: int) -> Picture | None:
        """A piece `phase` quarter pixels right of the pixel grid; None when it has no ink."""


class CharacterSetter(Typesetter[str]):
    """Each character by itself, from left to right."""

    def __init__(self, face: Typeface) -> None:
        self._face = face

    def lines(self, text: str, width_px: float) -> list[Line[str]]:
        """See `Typesetter`."""
        face = self._face
        found = []
        for line in drawable_lines(text):
            for part in wrap(line, lambda c: face.advance_px(face.shown(c)), width_px):
                shown = "".join(map(face.shown, part))
                missing = [c for c in part if face.shown(c) != c or needs_shaping(c)]
                found.append(Line(shown, "".join(missing), shown))
        return found

    def advance_px(self, piece: str) -> float:
        """See `Typesetter`."""
        return self._face.advance_px(piece)

    def ink(self, piece: str, phase: int) -> Picture | None:
        """See `Typesetter`."""
        return self._face.ink(piece, phase)
