"""Pages of monospaced cells aligned to a vision encoder's patch grid."""

from __future__ import annotations

import functools
import importlib.util
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from freqexp.nouns.page import Lines, Page, Pixels
from freqexp.nouns.render import Renderer
from freqexp.nouns.sample import Turn
from freqexp.pages.layout import drawable_lines, needs_shaping
from freqexp.pages.typeface import load_font

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

USER_MARK = "> "
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_NOWHERE = "\U0010ffff"


@functools.lru_cache(maxsize=4)
def _font(font_px: float) -> FreeTypeFont:
    from PIL import ImageFont

    spec = importlib.util.find_spec("matplotlib")
    assert spec is not None
    assert spec.submodule_search_locations
    fonts = Path(spec.submodule_search_locations[0]) / "mpl-data" / "fonts" / "ttf"
    return ImageFont.truetype(str(fonts / "DejaVuSansMono.ttf"), font_px)


@functools.lru_cache(maxsize=64)
def _other_font(path: str, font_px: float) -> FreeTypeFont:
    return load_font(Path(path).expanduser(), font_px, "fallback")


def _has(font: FreeTypeFont, character: str) -> bool:
    return character == " " or bytes(font.getmask(character)) != bytes(font.getmask(_NOWHERE))


@functools.lru_cache(maxsize=4096)
def _stand_in(character: str, font_px: float, fallback: tuple[str, ...]) -> str | None:
    """The file of the first font of `fallback` that has what the main font lacks; None where the
    main font has it or none does.
    """
    if _has(_font(font_px), character):
        return None
    return next((path for path in fallback if _has(_other_font(path, font_px), character)), None)


@functools.lru_cache(maxsize=4096)
def _shown(character: str, font_px: float, fallback: tuple[str, ...]) -> str:
    """The character, or what stands for one that no font has a picture of."""
    known = _has(_font(font_px), character) or _stand_in(character, font_px, fallback) is not None
    return character if known else REPLACEMENT


def _fitted(path: str, character: str, width: int, height: int, font_px: float) -> FreeTypeFont:
    """A font for one character, made smaller where a cell would be too small for it."""
    font = _other_font(path, font_px)
    share = min(width / max(1.0, font.getlength(character)), height / sum(font.getmetrics()))
    return font if share >= 1 else _other_font(path, font_px * share)


@functools.lru_cache(maxsize=4096)
def _tile(
    character: str, width: int, height: int, font_px: float, fallback: tuple[str, ...]
) -> Pixels:
    """One character, black on white, centred on its baseline: uint8 [height, width]."""
    from PIL import Image, ImageDraw

    font = _font(font_px)
    advance = font.getlength("0")
    other = _stand_in(character, font_px, fallback)
    if other is not None:
        font = _fitted(other, character, width, height, font_px)
        advance = font.getlength(character)
    ascent, descent = font.getmetrics()
    image = Image.new("L", (width, height), 255)
    left = (width - advance) / 2
    ImageDraw.Draw(image).text(
        (left, (height - ascent - descent) / 2), character, fill=0, font=font
    )
    return np.asarray(image, dtype=np.uint8)


def wrap(text: str, columns: int) -> list[str]:
    """Rows of at most `columns` characters, broken at the column like a terminal; newlines start a
    row. Characters are those of `drawable_lines`.
    """
    rows: list[str] = []
    lines = drawable_lines(text)
    for line in lines if len(lines) == 1 or lines[-1] else lines[:-1]:
        rows.extend(line[i : i + columns] for i in range(0, max(len(line), 1), columns))
    return rows


class CellsRenderer(Renderer):
    """`columns` x `rows` characters a page, each in a cell of `cell_width` x `cell_height` px
    (DejaVu Sans Mono).

    A request stands after "> ", its reply starts on the next row. A turn that fits a page is not
    split over two. A character that the font lacks is drawn in its cell by the first font of
    `fallback` that has it, and shown as U+FFFD where none has.
    """

    marks = (USER_MARK, "")

    def __init__(
        self,
        columns: int,
        rows: int,
        cell_width: int,
        cell_height: int,
        font_px: float,
        fallback: Sequence[str] = (),
    ) -> None:
        self.columns = columns
        self.rows = rows
        self.cell_width = cell_width
        self.cell_height = cell_height
        self.font_px = font_px
        self.fallback = tuple(fallback)

    def layout(self, turns: Sequence[Turn]) -> list[list[str]]:
        """The rows of each page, at least one page."""
        pages: list[list[str]] = [[]]
        for turn in turns:
            rows = wrap(USER_MARK + turn.user, self.columns) + wrap(turn.assistant, self.columns)
            if len(rows) <= self.rows < len(pages[-1]) + len(rows):
                pages.append([])
            for row in rows:
                if len(pages[-1]) == self.rows:
                    pages.append([])
                pages[-1].append(row)
        return pages

    def draw(self, rows: Sequence[str]) -> Pixels:
        """One page from its rows: uint8 [rows * cell_height, columns * cell_width]."""
        lines = [row.ljust(self.columns) for row in rows]
        lines += [" " * self.columns] * (self.rows - len(lines))
        cell = (self.cell_width, self.cell_height, self.font_px, self.fallback)
        tiles = np.stack([[_tile(character, *cell) for character in line] for line in lines])
        return np.ascontiguousarray(tiles.transpose(0, 2, 1, 3)).reshape(
            self.rows * self.cell_height, self.columns * self.cell_width
        )

    def render(self, turns: Sequence[Turn]) -> list[Page]:
        """The conversation as pages."""
        return [self._page(rows) for rows in self.layout(turns)]

    def _page(self, rows: Sequence[str]) -> Page:
        font = (self.font_px, self.fallback)
        shown = ["".join(_shown(character, *font) for character in row) for row in rows]
        missing = [
            character
            for row, seen in zip(rows, shown, strict=True)
            for character, drawn in zip(row, seen, strict=True)
            if character != drawn or needs_shaping(character)
        ]
        return Page(self.draw(shown), "\n".join(shown), self._lines(len(rows)), "".join(missing))

    def _lines(self, count: int) -> Lines:
        edges = range(0, (count + 1) * self.cell_height, self.cell_height)
        return tuple(itertools.pairwise(edges))
