"""JPEG."""

from __future__ import annotations

from freqexp.codecs.images import ImageCodec, quality_of, read_pillow, write_pillow
from freqexp.nouns.page import Pixels


class Jpeg(ImageCodec):
    """JPEG with optimised Huffman tables (libjpeg-turbo through Pillow); colour at half resolution.

    quality: 1 to 100; None: 100 keep_ratio, rounded.
    """

    code = 5

    def __init__(self, keep_ratio: float = 0.5, quality: int | None = None) -> None:
        """Raises ConfigError when a value is out of range."""
        self._quality = quality_of(keep_ratio, quality)

    def write(self, pixels: Pixels) -> bytes:
        """See `ImageCodec`."""
        return write_pillow(pixels, "JPEG", quality=self._quality, optimize=True, subsampling=2)

    @classmethod
    def read(cls, data: bytes, shape: tuple[int, ...]) -> Pixels:
        """See `ImageCodec`."""
        return read_pillow(data, "JPEG", shape)
