"""The smallest of the lossless image formats, which other codecs store pages in."""

from __future__ import annotations

from freqexp.codecs.images import ImageCodec
from freqexp.codecs.jxl_lossless import JxlLossless
from freqexp.codecs.png import Png
from freqexp.codecs.webp_lossless import WebpLossless
from freqexp.coding.bitstream import BitstreamError
from freqexp.nouns.page import Pixels

FORMATS: tuple[type[ImageCodec], ...] = (Png, WebpLossless, JxlLossless)
"""Ties go to the first."""


def smallest_file(pixels: Pixels) -> tuple[int, bytes]:
    """The index in FORMATS and the file that is smallest for `pixels` ([H, W] or [H, W, 3] uint8).

    Every format at its default effort: PNG optimised, WebP 4 of 6, JPEG XL 7 of 9.
    """
    files = [chosen().write(pixels) for chosen in FORMATS]
    index = min(range(len(files)), key=lambda i: len(files[i]))
    return index, files[index]


def read_file(index: int, data: bytes, shape: tuple[int, ...]) -> Pixels:
    """The page of `shape` in a file of FORMATS[index]. Raises BitstreamError for anything else."""
    if index >= len(FORMATS):
        raise BitstreamError(f"lossless image: format {index}, allowed: 0 to {len(FORMATS) - 1}")
    return FORMATS[index].read(data, shape)
