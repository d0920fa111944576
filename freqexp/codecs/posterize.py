"""Few gray levels, stored losslessly."""

from __future__ import annotations

import math

import numpy as np

from freqexp.codecs.base import Codec, Payload
from freqexp.codecs.lossless import read_file, smallest_file
from freqexp.coding.bitstream import Bitstream, Cursor, varint
from freqexp.errors import ConfigError, fault
from freqexp.nouns.page import Pixels


class Posterize(Codec):
    """Every sample rounded to the nearest of n evenly spaced levels (0 and 255 among them),
    stored in the lossless format that is smallest for the page.

    levels: 2 to 256; None: 2^(8 keep_ratio), rounded and at least 2, so that keep_ratio is the
    share of the 8 bits of a sample.
    """

    code = 9

    def __init__(self, keep_ratio: float = 0.5, levels: int | None = None) -> None:
        """Raises ConfigError when a value is out of range."""
        faults = []
        if not 0 < keep_ratio <= 1:
            faults.append(fault("keep_ratio", keep_ratio, "above 0, at most 1"))
        if levels is not None and not 2 <= levels <= 256:
            faults.append(fault("levels", levels, "an integer from 2 to 256"))
        if faults:
            raise ConfigError(faults)
        asked = math.floor(2 ** (8 * keep_ratio) + 0.5)
        self._levels = max(2, asked) if levels is None else levels

    def store(self, pixels: Pixels) -> Payload:
        """The format, then the file of the rounded page.

        Values, not level numbers: formats that look for repeated glyphs need the contrast.
        """
        top = self._levels - 1
        number = (2 * top * np.arange(256) + 255) // 510
        value = ((2 * 255 * number + top) // (2 * top)).astype(np.uint8)
        index, data = smallest_file(value[pixels])
        return Payload(varint(index), (data,))

    @classmethod
    def restore(cls, stream: Bitstream) -> Pixels:
        """The page of the file."""
        cursor = Cursor(stream.parameters, "posterize")
        index = cursor.varint()
        cursor.end()
        return read_file(index, stream.sections[0], stream.shape)
