"""A font's characters: how wide they are and what they look like, small and antialiased."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from freqexp.errors import UserError, fault

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

REPLACEMENTS = ("\N{REPLACEMENT CHARACTER}", "?")
PHASES = 4
"""Glyphs stand at quarters of a pixel."""

# Glyphs are drawn `ZOOM` times too large and averaged down, so that they keep the outline's true
# shape and width (hinting at 9 px would change both) and can stand at fractions of a pixel.
ZOOM = 8
# Widths are measured at a size at which their rounding to whole pixels does not matter.
RULER_PX = 2048
_NOWHERE = "\U0010ffff"

Ink = npt.NDArray[np.uint32]
Picture = tuple[Ink, int, int]
"""Coverage 0..255 [h, w], and its top left corner relative to the pen on the baseline."""


class Typeface:
    """Advance widths and small antialiased pictures of a font's characters, without kerning or
    ligatures.

    A character the font lacks is taken from the first font of `fallback` that has it, at the same
    size on the same baseline. One that none has is shown as U+FFFD, or "?" where that is lacking
    too.
    """

    def __init__(
        self,
        path: Path,
        size_px: float,
        fallback: Sequence[Path] = (),
        field: str = "font_path",
    ) -> None:
        """field: what a file that is no font is reported as."""
        self.path = path
        self._font = load_font(path, size_px * ZOOM, field)
        self._ruler = load_font(path, RULER_PX, field)
        self._size_px = size_px
        ascent, descent = self._font.getmetrics()
        self.ascent_px = ascent / ZOOM
        self.descent_px = descent / ZOOM
        self._absent = self._picture(_NOWHERE)
        present = [c for c in REPLACEMENTS if self._picture(c) != self._absent]
        self._replacement = present[0] if present else REPLACEMENTS[-1]
        self._others = [Typeface(other, size_px, field="fallback") for other in fallback]
        # lru_cache on methods would keep every typeface alive.
        self.has = functools.cache(self._has)
        self.face_of = functools.cache(self._face_of)
        self.shown = functools.cache(self._shown)
        self.advance_px = functools.cache(self._advance_px)
        self.ink = functools.cache(self._ink)

    @property
    def faces(self) -> list[Typeface]:
        """The font itself and those that stand in for it, in the order in which they are asked."""
        return [self, *self._others]

    def _picture(self, character: str) -> tuple[float, bytes]:
        return self._font.getlength(character), bytes(self._font.getmask(character))

    def _has(self, character: str) -> bool:
        return character == " " or self._picture(character) != self._absent

    def _face_of(self, character: str) -> Typeface:
        """The font that draws a character; this one where none has it."""
        return next((face for face in self.faces if face.has(character)), self)

    def _shown(self, character: str) -> str:
        return character if self.face_of(character).has(character) else self._replacement

    def _advance_px(self, character: str) -> float:
        face = self.face_of(character)
        return float(face._ruler.getlength(character)) * self._size_px / RULER_PX

    def _ink(self, character: str, phase: int) -> Picture | None:
        """A character `phase` quarter pixels right of the pixel grid; None when it has no ink."""
        mask, corner = self.face_of(character)._font.getmask2(character, mode="L", anchor="ls")
        return averaged(mask, corner, phase)


def averaged(mask: Any, corner: tuple[int, int], phase: int) -> Picture | None:
    """What was drawn `ZOOM` times too large, made small; None without ink.

    mask: Pillow's own image of coverage. corner: its top left corner relative to the pen.
    """
    width, height = mask.size
    if not width or not height:
        return None
    left, top = corner[0] + phase * ZOOM // PHASES, corner[1]
    x, y = math.floor(left / ZOOM), math.floor(top / ZOOM)
    pad_x, pad_y = left - x * ZOOM, top - y * ZOOM
    columns, rows = -(-(pad_x + width) // ZOOM), -(-(pad_y + height) // ZOOM)
    large = np.zeros((rows * ZOOM, columns * ZOOM), dtype=np.uint32)
    large[pad_y : pad_y + height, pad_x : pad_x + width] = np.frombuffer(
        bytes(mask), dtype=np.uint8
    ).reshape(height, width)
    sums = large.reshape(rows, ZOOM, columns, ZOOM).sum(axis=(1, 3))
    return (sums + ZOOM * ZOOM // 2) // (ZOOM * ZOOM), x, y


def load_font(
    path: Path, size_px: float, field: str = "font_path", *, shapes: bool = False
) -> FreeTypeFont:
    """A font file at a size, drawn character by character or shaped by libraqm.

    Raises UserError for what is no font.
    """
    from PIL import ImageFont

    engine = ImageFont.Layout.RAQM if shapes else ImageFont.Layout.BASIC
    try:
        return ImageFont.truetype(str(path), size_px, layout_engine=engine)
    except OSError as error:
        allowed = f"a TrueType or OpenType font file; {error}"
        raise UserError(fault(field, str(path), allowed)) from error
