"""The pages of the codec bench, and what a reader makes of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import brotli

from freqexp.benchmarks.generate import generate
from freqexp.benchmarks.legibility import edit_distance
from freqexp.nouns.page import Page, Pixels
from freqexp.pages.cells import CellsRenderer
from freqexp.pages.glyph import GlyphRenderer
from freqexp.readers.recogniser.lines import line_reader

SEED = 77001
_MARGIN = 10
_GLYPH = ((14, True), (12, True), (13, False))
_CELLS = ((23.25, (14, 28), True), (16.5, (10, 20), False))


@dataclass(frozen=True)
class Amount:
    """How much is measured. pages, lines: of Glyph's renderer at 14 px (lines: read on a page, at
    most). other_pages, other_lines: of each other renderer and size.
    """

    pages: int = 2
    lines: int = 100
    other_pages: int = 1
    other_lines: int = 16


@dataclass(frozen=True)
class Material:
    """Pages of one renderer and font size. boxes: for each page its lines (rows of the box, text).

    in_codebook: whether a group of the bundled codebook was trained on this setting.
    """

    renderer: str
    font_px: float
    in_codebook: bool
    pages: list[Page]
    boxes: list[list[tuple[slice, str]]]

    @property
    def text_brotli_bytes(self) -> float:
        """The text of a page by brotli, mean: who has it can draw the page again."""
        sizes = [len(brotli.compress(page.text.encode())) for page in self.pages]
        return sum(sizes) / len(sizes)


def materials(amount: Amount) -> Iterator[Material]:
    """Pages of the eval split. Glyph pages are 595 x 842, uncropped; cells pages are 24 x 24 cells
    of 14 x 28 and of 10 x 20 pixels.
    """
    for size, known in _GLYPH:
        first = size == _GLYPH[0][0]
        count = amount.pages if first else amount.other_pages
        lines = amount.lines if first else amount.other_lines
        pitch = size + 2
        glyph = GlyphRenderer(font_pt=size, line_height_pt=pitch, crop=False)
        samples = generate(2, count, SEED, "long", target_chars=6000)
        pages = [glyph.render(sample.turns)[0] for sample in samples]
        boxes = [line_boxes(page.text, _MARGIN, pitch, lines) for page in pages]
        yield Material("glyph", size, known, pages, boxes)
    for font_px, (width, height), known in _CELLS:
        cells = CellsRenderer(24, 24, width, height, font_px)
        samples = generate(2, amount.other_pages, SEED, "short", turns=12)
        pages = [cells.render(sample.turns)[0] for sample in samples]
        boxes = [line_boxes(page.text, 0, height, amount.other_lines) for page in pages]
        yield Material("cells", font_px, known, pages, boxes)


def line_boxes(text: str, first: int, pitch: int, most: int) -> list[tuple[slice, str]]:
    """Rows of each line with text, and its text; at most `most` lines.

    first: row where the first line begins. pitch: rows from one line to the next.
    """
    boxes = [
        (slice(first + number * pitch, first + (number + 1) * pitch), line.strip())
        for number, line in enumerate(text.split("\n"))
        if line.strip()
    ]
    return boxes[:most]


def reading_errors(page: Pixels, boxes: Sequence[tuple[slice, str]]) -> int:
    """Characters the line reader gets wrong: edit distance, summed over the boxes."""
    reader = line_reader()
    return sum(edit_distance(reader.read(page[rows]), text) for rows, text in boxes)
