"""Lossy JPEG XL."""

from __future__ import annotations

from freqexp.codecs.images import ImageCodec, read_jxl
from freqexp.errors import ConfigError, fault
from freqexp.nouns.page import Pixels

_WORST = 15.0


class Jxl(ImageCodec):
    """Lossy JPEG XL (libjxl at effort 7 through imagecodecs).

    distance: Butteraugli, 0.1 to 25, larger is worse; None: 15^(1 - keep_ratio), which falls
    geometrically from 15 to 1, "visually lossless". (Beyond 20, where libjxl halves the
    resolution, and between 0.7 and 0.4 the bytes of text pages do not fall with the distance.)
    """

    code = 8

    def __init__(self, keep_ratio: float = 0.5, distance: float | None = None) -> None:
        """Raises ConfigError when a value is out of range."""
        faults = []
        if not 0 < keep_ratio <= 1:
            faults.append(fault("keep_ratio", keep_ratio, "above 0, at most 1"))
        if distance is not None and not 0.1 <= distance <= 25:
            faults.append(fault("distance", distance, "from 0.1 to 25"))
        if faults:
            raise ConfigError(faults)
        asked = _WORST ** (1 - keep_ratio)
        self._distance = asked if distance is None else distance

    def write(self, pixels: Pixels) -> bytes:
        """See `ImageCodec`."""
        import imagecodecs

        encoded = imagecodecs.jpegxl_encode(
            pixels, lossless=False, distance=self._distance, effort=7, numthreads=1
        )
        return bytes(encoded)

    @classmethod
    def read(cls, data: bytes, shape: tuple[int, ...]) -> Pixels:
        """See `ImageCodec`."""
        return read_jxl(data, shape)
