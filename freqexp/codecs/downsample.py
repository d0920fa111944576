"""Fewer pixels: the control that every other codec has to beat."""

from __future__ import annotations

import math

import numpy as np

from freqexp.codecs.base import Codec, Payload, check_page
from freqexp.codecs.lossless import read_file, smallest_file
from freqexp.coding.bitstream import Bitstream, BitstreamError, Cursor, size_fault, varint
from freqexp.errors import ConfigError, fault
from freqexp.nouns.page import Pixels


class Downsample(Codec):
    """The page at a smaller size (bicubic with antialiasing), stored losslessly.

    keep_ratio is the share of the pixels: both sides shrink by its square root, rounded. A page
    whose glyphs repeat to the pixel is often larger after shrinking; then the page itself is stored
    and the decoder shrinks it.
    restore_size: True: the decoder enlarges the page again (bicubic), so that the model sees as
        many pixels as ever. False: the model sees the small page, which for a reader that cuts
        pages into patches of a fixed size means fewer vision tokens.
    """

    code = 10

    def __init__(self, keep_ratio: float = 0.5, restore_size: bool = False) -> None:
        """Raises ConfigError when keep_ratio is out of range."""
        if not 0 < keep_ratio <= 1:
            raise ConfigError([fault("keep_ratio", keep_ratio, "above 0, at most 1")])
        self._scale = math.sqrt(keep_ratio)
        self._restore_size = restore_size
        self.keeps_size = restore_size

    def restored(self, pixels: Pixels) -> Pixels:
        """See `Codec`. Without the search for the smallest file."""
        check_page(pixels)
        small = self._shrunk(pixels)
        return resized(small, *pixels.shape[:2]) if self._restore_size else small

    def _shrunk(self, pixels: Pixels) -> Pixels:
        height, width = (max(1, math.floor(side * self._scale + 0.5)) for side in pixels.shape[:2])
        return resized(pixels, height, width)

    def store(self, pixels: Pixels) -> Payload:
        """Format, stored and small size, then the file of the small page or of the page."""
        small = self._shrunk(pixels)
        files = {page.shape: smallest_file(page) for page in (small, pixels)}
        stored = min(files, key=lambda shape: len(files[shape][1]))
        index, data = files[stored]
        sizes = (*stored[:2], *small.shape[:2])
        return Payload(
            b"".join(map(varint, (index, *sizes))),
            (data,),
            nominal_ratio=pixels.size / small.size,
            shape=pixels.shape if self._restore_size else small.shape,
        )

    @classmethod
    def restore(cls, stream: Bitstream) -> Pixels:
        """The stored page, shrunk if it was not, at the size of the bitstream."""
        cursor = Cursor(stream.parameters, "downsample")
        index, *sizes = (cursor.varint() for _ in range(5))
        cursor.end()
        stored, small = sizes[:2], sizes[2:]
        for size in (stored, small):
            too_large = size_fault((*size, *stream.shape[2:]))
            if too_large:
                raise BitstreamError(f"downsample: {too_large}")
        page = read_file(index, stream.sections[0], (*stored, *stream.shape[2:]))
        return resized(resized(page, *small), *stream.shape[:2])


def resized(pixels: Pixels, height: int, width: int) -> Pixels:
    """A page at another size, bicubic; unchanged where it has that size."""
    if pixels.shape[:2] == (height, width):
        return pixels
    from PIL import Image

    image = Image.fromarray(pixels)
    return np.array(image.resize((width, height), Image.Resampling.BICUBIC))
