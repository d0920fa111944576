"""AVIF."""

from __future__ import annotations

from freqexp.codecs.images import ImageCodec, quality_of, read_pillow, write_pillow
from freqexp.nouns.page import Pixels


class Avif(ImageCodec):
    """AVIF (libavif at speed 6 through Pillow), one thread; gray pages have no colour planes.

    quality: 1 to 100; None: 100 keep_ratio, rounded.
    """

    code = 7

    def __init__(self, keep_ratio: float = 0.5, quality: int | None = None) -> None:
        """Raises ConfigError when a value is out of range."""
        self._quality = quality_of(keep_ratio, quality)

    def write(self, pixels: Pixels) -> bytes:
        """See `ImageCodec`."""
        subsampling = "4:0:0" if pixels.ndim == 2 else "4:2:0"
        return write_pillow(
            pixels,
            "AVIF",
            quality=self._quality,
            speed=6,
            subsampling=subsampling,
            max_threads=1,
        )

    @classmethod
    def read(cls, data: bytes, shape: tuple[int, ...]) -> Pixels:
        """See `ImageCodec`."""
        return read_pillow(data, "AVIF", shape)
