"""Text lines column by column: the general rival of codecs that know text."""

from __future__ import annotations

from freqexp.codecs.base import Codec, Payload
from freqexp.codecs.columns import CODERS, bits_of, read, write
from freqexp.codecs.levels import evenly, grid_of, levels_asked, numbers_of, values_of
from freqexp.codecs.planes import planes_of, restored_page
from freqexp.coding.bitstream import Bitstream
from freqexp.errors import fault
from freqexp.nouns.page import Pixels


class Strips(Codec):
    """Gray levels, cut into strips of a text line each, whose columns are records one after the
    other for a general compressor.

    The page is rounded to evenly spaced levels, as `posterize` does (256: lossless). The pitch of
    the lines is found (`pitch_of`); strips begin where the fewest pixels are cut. A pixel takes 1,
    2, 4 or 8 bits, as few as its levels fit in, or 8 where that is shorter in the end.

    coder: ppmd (variant H, order 16), or xz (LZMA2), which pages above half a million pixels, and
    those that PPMd's library would not decode again, take in any case.
    """

    code = 17

    def __init__(
        self, keep_ratio: float = 0.5, levels: int | None = None, coder: str = "ppmd"
    ) -> None:
        """keep_ratio, levels: as of `posterize`. Raises ConfigError naming all values that are out
        of range.
        """
        known = coder in CODERS
        faults = [] if known else [fault("coder", coder, ", ".join(CODERS))]
        self._levels = levels_asked(keep_ratio, levels, *faults)
        self._coder = coder

    def store(self, pixels: Pixels) -> Payload:
        """The coder, levels, planes, bits a pixel, pitch and first row of a strip; the records."""
        planes = evenly(planes_of(pixels), self._levels)
        levels = grid_of(planes)
        page, count = numbers_of(levels)[planes], len(planes) // pixels.shape[0]
        found = [
            write(page, levels, count, bits, self._coder) for bits in sorted({bits_of(levels), 8})
        ]
        parameters, data = min(found, key=lambda one: len(one[1]))
        return Payload(parameters, (data,))

    @classmethod
    def restore(cls, stream: Bitstream) -> Pixels:
        """The page of the records."""
        (data,) = stream.sections
        page, levels = read(stream.parameters, data, stream.shape)
        return restored_page(values_of(levels)[page], stream.shape)
