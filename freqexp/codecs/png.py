"""Optimised PNG."""

from __future__ import annotations

from freqexp.codecs.images import ImageCodec, read_pillow, write_pillow
from freqexp.nouns.page import Pixels


class Png(ImageCodec):
    """PNG with the best of zlib's settings (Pillow's `optimize`). Lossless."""

    code = 2

    def write(self, pixels: Pixels) -> bytes:
        """See `ImageCodec`."""
        return write_pillow(pixels, "PNG", optimize=True)

    @classmethod
    def read(cls, data: bytes, shape: tuple[int, ...]) -> Pixels:
        """See `ImageCodec`."""
        return read_pillow(data, "PNG", shape)
