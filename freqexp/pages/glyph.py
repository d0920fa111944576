"""Pages with the settings of Glyph's renderer (arXiv 2510.17800)."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from freqexp.errors import ConfigError, UserError, fault
from freqexp.nouns.page import Lines, Page, Pixels
from freqexp.nouns.render import Renderer
from freqexp.nouns.sample import Turn
from freqexp.pages.layout import (
    REPLY_MARK,
    USER_MARK,
    conversation_text,
    drawable_lines,
    needs_shaping,
    wrap,
)

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

POINTS_PER_INCH = 72
INK_TOLERANCE = 5
REPLACEMENTS = ("\N{REPLACEMENT CHARACTER}", "?")

# Glyphs are drawn `_ZOOM` times too large and averaged down, so that they keep the outline's true
# shape and width (hinting at 9 px would change both) and can stand at quarters of a pixel.
_ZOOM = 8
_PHASES = 4
# Widths are measured at a size at which their rounding to whole pixels does not matter.
_RULER_PX = 2048
_NOWHERE = "\U0010ffff"

_Ink = npt.NDArray[np.uint32]


def default_font_path() -> Path:
    """DejaVu Sans as matplotlib's wheel carries it; UserError when matplotlib is missing."""
    spec = importlib.util.find_spec("matplotlib")
    if spec is None or not spec.submodule_search_locations:
        raise UserError(
            "DejaVu Sans comes with matplotlib: pip install matplotlib, or set font_path"
        )
    root = Path(spec.submodule_search_locations[0])
    return root / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"


def font_hash(font_path: str | None) -> str:
    """SHA-256 (hex) of the font file: with text and settings it decides the pixels."""
    path = Path(font_path).expanduser() if font_path is not None else default_font_path()
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        allowed = f"a TrueType or OpenType font file; {error.strerror}"
        raise UserError(fault("font_path", str(path), allowed)) from error


class Typeface:
    """Advance widths and small antialiased pictures of a font's characters, without kerning or
    ligatures.

    A character the font lacks is shown as U+FFFD, or "?" where that is lacking too.
    """

    def __init__(self, path: Path, size_px: float) -> None:
        self._font = _load_font(path, size_px * _ZOOM)
        self._ruler = _load_font(path, _RULER_PX)
        self._size_px = size_px
        ascent, descent = self._font.getmetrics()
        self.ascent_px = ascent / _ZOOM
        self.descent_px = descent / _ZOOM
        self._absent = self._picture(_NOWHERE)
        present = [c for c in REPLACEMENTS if self._picture(c) != self._absent]
        self._fallback = present[0] if present else REPLACEMENTS[-1]
        # lru_cache on methods would keep every typeface alive.
        self.shown = functools.cache(self._shown)
        self.advance_px = functools.cache(self._advance_px)
        self.ink = functools.cache(self._ink)

    def _picture(self, character: str) -> tuple[float, bytes]:
        return self._font.getlength(character), bytes(self._font.getmask(character))

    def _shown(self, character: str) -> str:
        if character == " " or self._picture(character) != self._absent:
            return character
        return self._fallback

    def _advance_px(self, character: str) -> float:
        return float(self._ruler.getlength(character)) * self._size_px / _RULER_PX

    def _ink(self, character: str, phase: int) -> tuple[_Ink, int, int] | None:
        """Coverage 0..255 [h, w] of a character `phase` quarter pixels right of the pixel grid, and
        its top left corner relative to the pen on the baseline; None when it has none.
        """
        mask, (left, top) = self._font.getmask2(character, mode="L", anchor="ls")
        width, height = mask.size
        if not width or not height:
            return None
        left += phase * _ZOOM // _PHASES
        x, y = math.floor(left / _ZOOM), math.floor(top / _ZOOM)
        pad_x, pad_y = left - x * _ZOOM, top - y * _ZOOM
        columns, rows = -(-(pad_x + width) // _ZOOM), -(-(pad_y + height) // _ZOOM)
        large = np.zeros((rows * _ZOOM, columns * _ZOOM), dtype=np.uint32)
        large[pad_y : pad_y + height, pad_x : pad_x + width] = np.frombuffer(
            bytes(mask), dtype=np.uint8
        ).reshape(height, width)
        sums = large.reshape(rows, _ZOOM, columns, _ZOOM).sum(axis=(1, 3))
        return (sums + _ZOOM * _ZOOM // 2) // (_ZOOM * _ZOOM), x, y


def _load_font(path: Path, size_px: float) -> FreeTypeFont:
    from PIL import ImageFont

    try:
        return ImageFont.truetype(str(path), size_px, layout_engine=ImageFont.Layout.BASIC)
    except OSError as error:
        allowed = f"a TrueType or OpenType font file; {error}"
        raise UserError(fault("font_path", str(path), allowed)) from error


def _stamp(page: _Ink, picture: _Ink, left: int, top: int) -> None:
    """Add `picture` [h, w] to `page` at a corner that may lie outside; what lies outside is cut
    off.
    """
    rows, columns = picture.shape
    above, before = max(0, -top), max(0, -left)
    target = page[top + above : max(0, top + rows), left + before : max(0, left + columns)]
    target += picture[above : above + target.shape[0], before : before + target.shape[1]]


class GlyphRenderer(Renderer):
    """Black on white, left aligned, `User: ...` / `Assistant: ...` turns, wrapped at words.

    The default is Glyph's best searched configuration for English with DejaVu Sans in place of
    Verdana, which is not free. Cropping cuts empty columns right of the longest line of each page,
    and empty rows below the last line of the last page, down to the margin; ink is what differs
    from white by more than 5.

    width, height, margin_x, margin_y, font_pt, line_height_pt: points (1/72 inch).
    dpi: pixels per inch; 72 makes a point a pixel.
    font_path: TrueType or OpenType file; None is DejaVu Sans.
    """

    marks = (USER_MARK, REPLY_MARK)

    def __init__(
        self,
        width: int = 595,
        height: int = 842,
        dpi: int = 72,
        margin_x: int = 10,
        margin_y: int = 10,
        font_pt: float = 9,
        line_height_pt: float = 10,
        crop: bool = True,
        font_path: str | None = None,
    ) -> None:
        self._scale = dpi / POINTS_PER_INCH
        self._size = (round(height * self._scale), round(width * self._scale))
        self._margin_x_px = margin_x * self._scale
        self._margin_y_px = margin_y * self._scale
        self._line_px = line_height_pt * self._scale
        self._crop = crop
        path = Path(font_path).expanduser() if font_path is not None else default_font_path()
        self._face = Typeface(path, font_pt * self._scale)
        self._width_px = (width - 2 * margin_x) * self._scale
        self.lines_per_page = math.floor((height - 2 * margin_y) / line_height_pt)
        faults = []
        if self._width_px < self._face.advance_px("W"):
            faults.append(fault("margin_x", margin_x, f"room for a letter on {width} points"))
        if self.lines_per_page < 1:
            faults.append(fault("margin_y", margin_y, f"room for a line on {height} points"))
        if faults:
            raise ConfigError(faults)

    def render(self, turns: Sequence[Turn]) -> list[Page]:
        """The conversation as gray pages; none for no turns."""
        return self.render_text(conversation_text(turns)) if turns else []

    def render_text(self, text: str) -> list[Page]:
        """Any text as gray pages, at least one. A page's text is what is drawn, replacements
        included.
        """
        lines: list[str] = []
        face = self._face
        for line in drawable_lines(text):
            lines.extend(wrap(line, lambda c: face.advance_px(face.shown(c)), self._width_px))
        chunks = [
            lines[start : start + self.lines_per_page]
            for start in range(0, len(lines), self.lines_per_page)
        ]
        pages = []
        for number, chunk in enumerate(chunks, start=1):
            shown = ["".join(map(face.shown, line)) for line in chunk]
            pixels = self._draw(shown, last=number == len(chunks))
            missing = [c for c in "".join(chunk) if face.shown(c) != c or needs_shaping(c)]
            places = self._lines(len(chunk), len(pixels))
            pages.append(Page(pixels, "\n".join(shown), places, "".join(missing)))
        return pages

    def _lines(self, count: int, height: int) -> Lines:
        """Where the lines of a page are; cropping may have cut room below the letters."""
        edges = [min(height, self._margin_y_px + n * self._line_px) for n in range(count + 1)]
        return tuple(itertools.pairwise(edges))

    def _draw(self, lines: Sequence[str], last: bool) -> Pixels:
        """One page: uint8 [height, width] before cropping."""
        face = self._face
        ink = np.zeros(self._size, dtype=np.uint32)
        above = (self._line_px - face.ascent_px - face.descent_px) / 2 + face.ascent_px
        for number, line in enumerate(lines):
            baseline = round(self._margin_y_px + number * self._line_px + above)
            pen = self._margin_x_px
            for character in line:
                quarters = round(pen * _PHASES)
                drawn = face.ink(character, quarters % _PHASES)
                if drawn is not None:
                    picture, x, y = drawn
                    _stamp(ink, picture, quarters // _PHASES + x, baseline + y)
                pen += face.advance_px(character)
        pixels = (255 - np.minimum(ink, 255)).astype(np.uint8)
        return self._cropped(pixels, last) if self._crop else pixels

    def _cropped(self, pixels: Pixels, last: bool) -> Pixels:
        inked = pixels < 255 - INK_TOLERANCE
        if not inked.any():
            return pixels
        right = int(np.flatnonzero(inked.any(axis=0))[-1]) + 1 + round(self._margin_x_px)
        bottom = int(np.flatnonzero(inked.any(axis=1))[-1]) + 1 + round(self._margin_y_px)
        return np.ascontiguousarray(pixels[: bottom if last else None, :right])
