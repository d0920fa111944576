"""The smallest of the lossless image formats, which other codecs store pages in."""

from __future__ import annotations

from collections.abc import Sequence

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
    return _smallest([(index, chosen()) for index, chosen in enumerate(FORMATS)], pixels)


def thorough_file(pixels: Pixels) -> tuple[int, bytes]:
    """As `smallest_file`, with JPEG XL at its highest effort. Without PNG, which is smaller than
    both hardly ever, and takes as long as that.
    """
    others = [(FORMATS.index(WebpLossless), WebpLossless())]
    return _smallest([*others, (FORMATS.index(JxlLossless), JxlLossless(effort=9))], pixels)


def has_jpeg_xl() -> bool:
    """Whether the installed imagecodecs was built with JPEG XL."""
    import imagecodecs

    return bool(imagecodecs.JPEGXL.available)


def _smallest(formats: Sequence[tuple[int, ImageCodec]], pixels: Pixels) -> tuple[int, bytes]:
    """Of the formats that can hold the page and are there."""
    able = [(index, chosen) for index, chosen in formats if _can(chosen, pixels)]
    files = [(index, chosen.write(pixels)) for index, chosen in able or [(0, Png())]]
    return min(files, key=lambda file: len(file[1]))


def _can(chosen: ImageCodec, pixels: Pixels) -> bool:
    if isinstance(chosen, WebpLossless):
        return int(max(pixels.shape[:2])) <= WebpLossless.longest_side
    return has_jpeg_xl() if isinstance(chosen, JxlLossless) else True


def read_file(index: int, data: bytes, shape: tuple[int, ...]) -> Pixels:
    """The page of `shape` in a file of FORMATS[index]. Raises BitstreamError for anything else."""
    if index >= len(FORMATS):
        raise BitstreamError(f"lossless image: format {index}, allowed: 0 to {len(FORMATS) - 1}")
    return FORMATS[index].read(data, shape)
