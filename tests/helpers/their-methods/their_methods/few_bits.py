"""A codec: the high bits of each sample, deflated."""

from __future__ import annotations

import math
import zlib

import numpy as np

from freqexp.codecs.base import Codec, Payload
from freqexp.coding.bitstream import Bitstream, BitstreamError, Cursor
from freqexp.nouns.page import Pixels


class FewBits(Codec):
    """Keep the b = ceil(8 keep_ratio) high bits; the others become 0."""

    name = "few_bits"

    def __init__(self, keep_ratio: float = 0.5, level: int = 9) -> None:
        self._bits = math.ceil(8 * keep_ratio)
        self._level = level

    def store(self, pixels: Pixels) -> Payload:
        """The number of bits, and the samples without the others."""
        kept = pixels >> (8 - self._bits)
        return Payload(bytes([self._bits]), (zlib.compress(kept.tobytes(), self._level),))

    @classmethod
    def restore(cls, stream: Bitstream) -> Pixels:
        """The page. Raises BitstreamError."""
        cursor = Cursor(stream.parameters, "few_bits")
        (bits,) = cursor.take(1)
        cursor.end()
        size = math.prod(stream.shape)
        inflating = zlib.decompressobj()
        try:
            data = inflating.decompress(stream.sections[0], size + 1)
        except zlib.error as error:
            raise BitstreamError(f"few_bits: {error}") from error
        if not 1 <= bits <= 8 or len(data) != size or not inflating.eof:
            raise BitstreamError("few_bits: not as many samples as the page has")
        kept = np.frombuffer(data, dtype=np.uint8).reshape(stream.shape)
        return kept << (8 - bits)
