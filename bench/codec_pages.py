"""The pages of the codec bench: twelve materials."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import brotli
import numpy as np

from bench import codec_texts as texts
from freqexp.benchmarks.generate import generate
from freqexp.nouns.page import Page, Pixels
from freqexp.pages.cells import CellsRenderer
from freqexp.pages.glyph import GlyphRenderer, default_font_path

SEED = 77001
FIRST = "sans 14"
"""The material that most pages are of."""
Box = tuple[tuple[slice, slice], str]
"""Rows and columns of a line on its page, and its text."""

_MARGIN = 10
_LEADING = 2
_CELLS_PAGE = 24
_SCAN_PITCH = 22
_SCAN_DEGREES = 0.3


@dataclass(frozen=True)
class Amount:
    """How much is measured. pages, lines: of `FIRST` (lines: read on a page, at most). other_pages,
    other_lines: of each other material.
    """

    pages: int = 2
    lines: int = 100
    other_pages: int = 1
    other_lines: int = 12


@dataclass(frozen=True)
class Material:
    """Pages of one kind. boxes: for each page its lines.

    trained: whether codebook and priors come from such pages: "yes", "font" (this font and size
    with other text or another page) or "no".
    """

    name: str
    trained: str
    pages: list[Page]
    boxes: list[list[Box]]

    @property
    def text_brotli_bytes(self) -> float:
        """The text of a page by brotli, mean: who has it can draw the page again."""
        sizes = [len(brotli.compress(page.text.encode())) for page in self.pages]
        return sum(sizes) / len(sizes)


@dataclass(frozen=True)
class _Kind:
    """pages: makes so many. pitch: rows from one line to the next. first: row of the first one."""

    name: str
    trained: str
    pages: Callable[[int], list[Page]]
    pitch: int
    first: int = _MARGIN


def materials(amount: Amount) -> Iterator[Material]:
    """All of them. Conversations are of the eval split. Pages of glyph are 595 x 842, uncropped;
    pages of cells are 24 x 24 cells of 14 x 28 and of 10 x 20 pixels.
    """
    for kind in _KINDS:
        first = kind.name == FIRST
        pages = kind.pages(amount.pages if first else amount.other_pages)
        most = amount.lines if first else amount.other_lines
        boxes = [line_boxes(page, kind.first, kind.pitch, most) for page in pages]
        yield Material(kind.name, kind.trained, pages, boxes)


def text_pages(
    count: int, size: float = 14, pitch: int = 16, font: str | None = None
) -> list[Page]:
    """The first page of so many conversations, as glyph draws it; font: of matplotlib's files."""
    samples = generate(2, count, SEED, "long", target_chars=6000)
    return [_glyph(size, pitch, font).render(sample.turns)[0] for sample in samples]


def _glyph(size: float, pitch: int, font: str | None) -> GlyphRenderer:
    path = None if font is None else str(default_font_path().with_name(font))
    return GlyphRenderer(font_pt=size, line_height_pt=pitch, crop=False, font_path=path)


def _written(text: Callable[[int], str], font: str | None, count: int) -> list[Page]:
    """Pages of one text, which is as long as so many pages need."""
    return _glyph(14, 16, font).render_text(text(count))[:count]


def _languages(name: str, languages: tuple[texts.Language, ...], count: int) -> list[Page]:
    return _written(lambda pages: texts.prose(name, languages, 4500 * pages), None, count)


def _cells(size: float, width: int, height: int, count: int) -> list[Page]:
    renderer = CellsRenderer(_CELLS_PAGE, _CELLS_PAGE, width, height, size)
    samples = generate(2, count, SEED, "short", turns=12)
    return [renderer.render(sample.turns)[0] for sample in samples]


def _scans(count: int) -> list[Page]:
    pages = text_pages(count, pitch=_SCAN_PITCH)
    return [replace(page, pixels=scanned(page.pixels, n)) for n, page in enumerate(pages)]


def scanned(page: Pixels, seed: int) -> Pixels:
    """A page as a scanner sees it: not quite straight, blurred, on uneven paper, with noise."""
    from PIL import Image, ImageFilter

    rng = np.random.default_rng((SEED, seed))
    straight = Image.fromarray(page)
    turned = straight.rotate(_SCAN_DEGREES, Image.Resampling.BICUBIC, fillcolor=255)
    ink = 1 - np.asarray(turned.filter(ImageFilter.GaussianBlur(0.6))) / 255
    stains = Image.fromarray(rng.normal(226, 7, (5, 4)).astype(np.float32))
    paper = np.asarray(stains.resize(page.shape[::-1], Image.Resampling.BICUBIC))
    seen = paper - ink * (paper - 35) + rng.normal(0, 3, page.shape)
    rounded: Pixels = np.clip(np.rint(seen), 0, 255).astype(np.uint8)
    return rounded


_MONO, _SERIF = "DejaVuSansMono.ttf", "DejaVuSerif.ttf"
_EUROPE = (texts.FRENCH, texts.GERMAN, texts.POLISH)
_KINDS = (
    _Kind(FIRST, "yes", text_pages, 16),
    _Kind("sans 12", "yes", partial(text_pages, size=12, pitch=14), 14),
    _Kind("sans 13", "no", partial(text_pages, size=13, pitch=15), 15),
    _Kind("serif 14", "no", partial(text_pages, font=_SERIF), 16),
    _Kind("code", "no", partial(_written, lambda count: texts.code(), _MONO), 16),
    _Kind("table", "font", partial(_written, lambda count: texts.table(51 * count), None), 16),
    _Kind("accents", "font", partial(_languages, "accents", _EUROPE), 16),
    _Kind("Greek", "font", partial(_languages, "Greek", (texts.GREEK,)), 16),
    _Kind("Cyrillic", "font", partial(_languages, "Cyrillic", (texts.CYRILLIC,)), 16),
    _Kind("scan", "no", _scans, _SCAN_PITCH),
    _Kind("cells 23.25", "yes", partial(_cells, 23.25, 14, 28), 28, 0),
    _Kind("cells 16.5", "no", partial(_cells, 16.5, 10, 20), 20, 0),
)


def line_boxes(page: Page, first: int, pitch: int, most: int) -> list[Box]:
    """Where lines with text are, up to a margin right of the last ink, and their text; at most
    `most` lines.

    first: row where the first line begins. pitch: rows from one line to the next.
    """
    found = []
    for number, line in enumerate(page.text.split("\n")):
        if line.strip():
            rows = slice(first + number * pitch, first + (number + 1) * pitch)
            inked = np.flatnonzero((page.pixels[rows] < 128).any(axis=0))
            right = int(inked[-1]) + 1 + _MARGIN if len(inked) else page.pixels.shape[1]
            found.append(((rows, slice(0, right)), line.strip()))
    return found[:most]
