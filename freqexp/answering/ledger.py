"""What pages take without any method: the lines every byte figure is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from freqexp.nouns.page import Page, png_size_bytes


@dataclass(frozen=True)
class PageSizes:
    """Sizes of a sample's pages, summed.

    page_pixels: pixels. raw_bytes: one byte a sample. png_bytes: optimised PNG. lossless_bytes:
    the smallest lossless form of each page, None where that is not known, see
        `lossless_size_bytes`.
    text_brotli_bytes: the text on the pages by brotli at its highest effort; who has the text can
    draw the pages again, so no page codec may ignore it. page_characters: of the text on the pages
    without white space. missing_characters: those that don't look as they should, see `Page`.
    """

    page_pixels: int
    raw_bytes: int
    png_bytes: int
    lossless_bytes: int | None
    text_brotli_bytes: int
    page_characters: int
    missing_characters: int


def page_sizes(pages: Sequence[Page]) -> PageSizes:
    """Measure `pages` by encoding them, some 0.1 s for a page of 336 x 336."""
    from freqexp.codecs.reference import lossless_size_bytes

    lossless = [lossless_size_bytes(page.pixels) for page in pages]
    return PageSizes(
        page_pixels=sum(page.pixels.shape[0] * page.pixels.shape[1] for page in pages),
        raw_bytes=sum(page.pixels.nbytes for page in pages),
        png_bytes=sum(png_size_bytes(page.pixels) for page in pages),
        lossless_bytes=None if None in lossless else sum(size or 0 for size in lossless),
        text_brotli_bytes=text_size_bytes("\n".join(page.text for page in pages)),
        page_characters=sum(not character.isspace() for page in pages for character in page.text),
        missing_characters=sum(len(page.missing) for page in pages),
    )


def text_size_bytes(text: str) -> int:
    """A text by brotli at its highest effort."""
    import brotli

    return len(brotli.compress(text.encode()))
