"""Pages with the settings of Glyph's renderer (arXiv 2510.17800)."""

from __future__ import annotations

import hashlib
import importlib.util
import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from freqexp.errors import ConfigError, UserError, fault
from freqexp.nouns.page import LONGEST, Lines, Page, Pixels
from freqexp.nouns.render import Renderer
from freqexp.nouns.sample import Turn
from freqexp.pages.layout import REPLY_MARK, USER_MARK, conversation_text
from freqexp.pages.typeface import PHASES, Ink, Typeface
from freqexp.pages.typesetter import CharacterSetter, Line, Typesetter

POINTS_PER_INCH = 72
INK_TOLERANCE = 5


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


def _stamp(page: Ink, picture: Ink, left: int, top: int) -> None:
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
    from white by more than 5. It leaves as much white as keeps a page's longer side at most 190
    times its shorter one, for image processors refuse longer pages.

    width, height, margin_x, margin_y, font_pt, line_height_pt: points (1/72 inch).
    dpi: pixels per inch; 72 makes a point a pixel.
    font_path: TrueType or OpenType file; None is DejaVu Sans.
    fallback: more such files, asked in this order for what the font lacks.
    shapes: letters are joined, kerned and put in order by libraqm; if not, each stands by itself.
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
        fallback: Sequence[str] = (),
        shapes: bool = False,
    ) -> None:
        self._scale = dpi / POINTS_PER_INCH
        self._size = (round(height * self._scale), round(width * self._scale))
        self._margin_x_px = margin_x * self._scale
        self._margin_y_px = margin_y * self._scale
        self._line_px = line_height_pt * self._scale
        self._crop = crop
        path = Path(font_path).expanduser() if font_path is not None else default_font_path()
        others = [Path(other).expanduser() for other in fallback]
        self._face = Typeface(path, font_pt * self._scale, others)
        self._setter = self._typesetter(shapes, font_pt * self._scale)
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
        lines = self._setter.lines(text, self._width_px)
        chunks = [
            lines[start : start + self.lines_per_page]
            for start in range(0, len(lines), self.lines_per_page)
        ]
        pages = []
        for number, chunk in enumerate(chunks, start=1):
            pixels = self._draw(chunk, last=number == len(chunks))
            shown = "\n".join(line.text for line in chunk)
            missing = "".join(line.missing for line in chunk)
            pages.append(Page(pixels, shown, self._lines(len(chunk), len(pixels)), missing))
        return pages

    def _typesetter(self, shapes: bool, size_px: float) -> Typesetter[Any]:
        if not shapes:
            return CharacterSetter(self._face)
        from freqexp.pages.shaped import ShapedSetter

        return ShapedSetter(self._face, size_px)

    def _lines(self, count: int, height: int) -> Lines:
        """Where the lines of a page are; cropping may have cut room below the letters."""
        edges = [min(height, self._margin_y_px + n * self._line_px) for n in range(count + 1)]
        return tuple(itertools.pairwise(edges))

    def _draw(self, lines: Sequence[Line[Any]], last: bool) -> Pixels:
        """One page: uint8 [height, width] before cropping."""
        face, setter = self._face, self._setter
        ink = np.zeros(self._size, dtype=np.uint32)
        above = (self._line_px - face.ascent_px - face.descent_px) / 2 + face.ascent_px
        for number, line in enumerate(lines):
            baseline = round(self._margin_y_px + number * self._line_px + above)
            pen = self._margin_x_px
            for piece in line.pieces:
                quarters = round(pen * PHASES)
                drawn = setter.ink(piece, quarters % PHASES)
                if drawn is not None:
                    picture, x, y = drawn
                    _stamp(ink, picture, quarters // PHASES + x, baseline + y)
                pen += setter.advance_px(piece)
        pixels = (255 - np.minimum(ink, 255)).astype(np.uint8)
        return self._cropped(pixels, last) if self._crop else pixels

    def _cropped(self, pixels: Pixels, last: bool) -> Pixels:
        inked = pixels < 255 - INK_TOLERANCE
        if not inked.any():
            return pixels
        right = int(np.flatnonzero(inked.any(axis=0))[-1]) + 1 + round(self._margin_x_px)
        bottom = int(np.flatnonzero(inked.any(axis=1))[-1]) + 1 + round(self._margin_y_px)
        height, width = pixels.shape
        height = min(height, bottom) if last else height
        width = min(width, max(right, math.ceil(height / LONGEST)))
        return np.ascontiguousarray(pixels[: max(height, math.ceil(width / LONGEST)), :width])
