"""Lossy WebP."""

from __future__ import annotations

from freqexp.codecs.images import ImageCodec, quality_of, read_pillow, write_pillow
from freqexp.nouns.page import Pixels


class Webp(ImageCodec):
    """Lossy WebP (libwebp's method 4 through Pillow). Of a gray page the decoded luma is taken.

    quality: 1 to 100; None: 100 keep_ratio, rounded.
    """

    code = 6

    def __init__(self, keep_ratio: float = 0.5, quality: int | None = None) -> None:
        """Raises ConfigError when a value is out of range."""
        self._quality = quality_of(keep_ratio, quality)

    def write(self, pixels: Pixels) -> bytes:
        """See `ImageCodec`."""
        return write_pillow(pixels, "WEBP", quality=self._quality, method=4)

    @classmethod
    def read(cls, data: bytes, shape: tuple[int, ...]) -> Pixels:
        """See `ImageCodec`."""
        return read_pillow(data, "WEBP", shape)
