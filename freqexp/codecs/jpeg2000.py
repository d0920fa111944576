"""JPEG 2000."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from freqexp.codecs.images import ImageCodec
from freqexp.coding.bitstream import BitstreamError
from freqexp.errors import ConfigError, fault
from freqexp.nouns.page import Pixels

_LOW_DB, _HIGH_DB = 15.0, 50.0
# The markers SOC and SIZ and what says the size: of the grid, its origin, the tile, its origin,
# the number of components.
_SIZE = struct.Struct(">2H2x2x8IH")
_SOC, _SIZ = 0xFF4F, 0xFF51


class Jpeg2000(ImageCodec):
    """JPEG 2000 (OpenJPEG through imagecodecs) as a bare codestream of one tile and one layer.

    psnr_db: 10 to 60, what the encoder aims at with the 9/7 wavelet; None: 15 + 35 keep_ratio.
    lossless: the 5/3 wavelet and all of its bits; nothing else is asked then.
    resolutions: 1 to 10, one more than the wavelet has levels. With 1 there is no wavelet, which
        takes less for text from some 25 dB on.
    """

    code = 13

    def __init__(
        self,
        keep_ratio: float = 0.5,
        psnr_db: float | None = None,
        lossless: bool = False,
        resolutions: int = 6,
    ) -> None:
        """Raises ConfigError when a value is out of range."""
        faults = []
        if not 0 < keep_ratio <= 1:
            faults.append(fault("keep_ratio", keep_ratio, "above 0, at most 1"))
        if psnr_db is not None and not 10 <= psnr_db <= 60:
            faults.append(fault("psnr_db", psnr_db, "from 10 to 60"))
        if not 1 <= resolutions <= 10:
            faults.append(fault("resolutions", resolutions, "an integer from 1 to 10"))
        if faults:
            raise ConfigError(faults)
        asked = _LOW_DB + (_HIGH_DB - _LOW_DB) * keep_ratio if psnr_db is None else psnr_db
        # What is no level is all of the bits.
        self._level = None if lossless else asked
        self._resolutions = resolutions

    def write(self, pixels: Pixels) -> bytes:
        """See `ImageCodec`."""
        import imagecodecs

        # Its stub says that levels are integers; the encoder takes fractions of a decibel.
        encode: Any = imagecodecs.jpeg2k_encode
        encoded = encode(
            pixels,
            level=self._level,
            codecformat="j2k",
            planar=False,
            reversible=self._level is None,
            resolutions=self._resolutions,
            numthreads=1,
        )
        return bytes(encoded)

    @classmethod
    def read(cls, data: bytes, shape: tuple[int, ...]) -> Pixels:
        """See `ImageCodec`."""
        import imagecodecs

        # Before the decoder allocates what a file asks for.
        size, channels = (shape[1], shape[0]), shape[2] if len(shape) == 3 else 1
        whole = (*size, 0, 0, *size, 0, 0, channels)
        if len(data) < _SIZE.size or _SIZE.unpack_from(data) != (_SOC, _SIZ, *whole):
            raise BitstreamError(f"JPEG 2000: not one tile of {size[0]} x {size[1]} pixels")
        try:
            found = imagecodecs.jpeg2k_decode(data, planar=False, numthreads=1)
        except Exception as error:
            raise BitstreamError(f"JPEG 2000: not an image this program reads ({error})") from error
        if found.dtype != np.uint8 or found.size != np.prod(shape):
            raise BitstreamError(f"JPEG 2000: {found.dtype} {list(found.shape)} in place of a page")
        return np.asarray(found).reshape(shape)
