"""AVIF."""

from __future__ import annotations

from freqexp.codecs.images import ImageCodec, quality_of, read_pillow, write_pillow
from freqexp.errors import fault
from freqexp.nouns.page import Pixels

TUNES = ("default", "psnr")


class Avif(ImageCodec):
    """AVIF (libavif through Pillow), one thread; gray pages have no colour planes.

    quality: 1 to 100; None: 100 keep_ratio, rounded. speed: 0, the most thorough, to 10.
    tune: of libaom, "psnr" for the least squared error; "default" leaves it to the library.
    """

    code = 7

    def __init__(
        self,
        keep_ratio: float = 0.5,
        quality: int | None = None,
        speed: int = 6,
        tune: str = "default",
    ) -> None:
        """Raises ConfigError naming all values that are out of range."""
        faults = [] if 0 <= speed <= 10 else [fault("speed", speed, "an integer from 0 to 10")]
        if tune not in TUNES:
            faults.append(fault("tune", tune, ", ".join(TUNES)))
        self._quality = quality_of(keep_ratio, quality, *faults)
        self._speed = speed
        self._tune = tune

    def write(self, pixels: Pixels) -> bytes:
        """See `ImageCodec`."""
        return write_pillow(
            pixels,
            "AVIF",
            quality=self._quality,
            speed=self._speed,
            subsampling="4:0:0" if pixels.ndim == 2 else "4:2:0",
            max_threads=1,
            advanced={} if self._tune == "default" else {"tune": self._tune},
        )

    @classmethod
    def read(cls, data: bytes, shape: tuple[int, ...]) -> Pixels:
        """See `ImageCodec`."""
        return read_pillow(data, "AVIF", shape)
