"""Few gray levels, stored losslessly."""

from __future__ import annotations

from freqexp.codecs.base import Codec, Payload
from freqexp.codecs.levels import evenly, levels_asked
from freqexp.codecs.lossless import read_file, smallest_file
from freqexp.coding.bitstream import Bitstream, Cursor, varint
from freqexp.nouns.page import Pixels


class Posterize(Codec):
    """Every sample rounded to the nearest of n evenly spaced levels (0 and 255 among them),
    stored in the lossless format that is smallest for the page.

    keep_ratio, levels: see `levels_asked`.
    """

    code = 9

    def __init__(self, keep_ratio: float = 0.5, levels: int | None = None) -> None:
        """Raises ConfigError when a value is out of range."""
        self._levels = levels_asked(keep_ratio, levels)

    def store(self, pixels: Pixels) -> Payload:
        """The format, then the file of the rounded page.

        Values, not level numbers: formats that look for repeated glyphs need the contrast.
        """
        index, data = smallest_file(evenly(pixels, self._levels))
        return Payload(varint(index), (data,))

    @classmethod
    def restore(cls, stream: Bitstream) -> Pixels:
        """The page of the file."""
        cursor = Cursor(stream.parameters, "posterize")
        index = cursor.varint()
        cursor.end()
        return read_file(index, stream.sections[0], stream.shape)
