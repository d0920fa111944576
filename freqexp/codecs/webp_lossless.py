"""Lossless WebP."""

from __future__ import annotations

from freqexp.codecs.images import ImageCodec, read_pillow, write_pillow
from freqexp.errors import ConfigError, fault
from freqexp.nouns.page import Pixels


class WebpLossless(ImageCodec):
    """Lossless WebP (libwebp through Pillow). It has no gray: gray pages are stored as RGB.

    effort: 0 to 6, libwebp's `method`; 6 also spends its full effort within the method, which takes
    some 50 times as long as 4 and saves about 5 %.
    """

    code = 3
    longest_side = 16_383

    def __init__(self, effort: int = 4) -> None:
        """Raises ConfigError when `effort` is out of range."""
        if not 0 <= effort <= 6:
            raise ConfigError([fault("effort", effort, "an integer from 0 to 6")])
        self._effort = effort

    def write(self, pixels: Pixels) -> bytes:
        """See `ImageCodec`."""
        quality = 100 if self._effort == 6 else 75
        return write_pillow(pixels, "WEBP", lossless=True, quality=quality, method=self._effort)

    @classmethod
    def read(cls, data: bytes, shape: tuple[int, ...]) -> Pixels:
        """See `ImageCodec`."""
        return read_pillow(data, "WEBP", shape)
