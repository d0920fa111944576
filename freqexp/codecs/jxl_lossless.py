"""Lossless JPEG XL."""

from __future__ import annotations

from freqexp.codecs.images import ImageCodec, read_jxl
from freqexp.errors import ConfigError, fault
from freqexp.nouns.page import Pixels


class JxlLossless(ImageCodec):
    """Lossless JPEG XL (libjxl through imagecodecs). effort: 1 to 9."""

    code = 4

    def __init__(self, effort: int = 7) -> None:
        """Raises ConfigError when `effort` is out of range."""
        if not 1 <= effort <= 9:
            raise ConfigError([fault("effort", effort, "an integer from 1 to 9")])
        self._effort = effort

    def write(self, pixels: Pixels) -> bytes:
        """See `ImageCodec`."""
        import imagecodecs

        return bytes(
            imagecodecs.jpegxl_encode(pixels, lossless=True, effort=self._effort, numthreads=1)
        )

    @classmethod
    def read(cls, data: bytes, shape: tuple[int, ...]) -> Pixels:
        """See `ImageCodec`."""
        return read_jxl(data, shape)
