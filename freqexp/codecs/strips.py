"""Text lines column by column: the general rival of codecs that know text."""

from __future__ import annotations

import lzma
from collections import Counter

import numpy as np

from freqexp.codecs.base import Codec, Payload
from freqexp.codecs.levels import background, evenly, grid_of, levels_asked, numbers_of, values_of
from freqexp.codecs.planes import planes_of, restored_page
from freqexp.codecs.symbols.segment import runs
from freqexp.coding.bitstream import Bitstream, BitstreamError, Cursor, varint
from freqexp.coding.ppm import MOST_BYTES, compress, decompress
from freqexp.errors import fault
from freqexp.nouns.page import Pixels

CODERS = ("ppmd", "xz")

_ORDER = 16
_XZ = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": 0, "pb": 0}]
_MOST_PITCH = 512


class Strips(Codec):
    """Gray levels, cut into strips of a text line each, whose columns are records one after the
    other for a general compressor.

    The page is rounded to evenly spaced levels, as `posterize` does (256: lossless). The pitch of
    the lines is the most common distance between the tops of two runs of rows that show anything;
    strips begin where the fewest pixels are cut. A pixel takes 1, 2, 4 or 8 bits, as few as its
    levels fit in, or 8 where that is shorter in the end.

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
        self._coder = CODERS.index(coder)

    def store(self, pixels: Pixels) -> Payload:
        """The coder, levels, planes, bits a pixel, pitch and first row of a strip; the records."""
        planes = evenly(planes_of(pixels), self._levels)
        levels = grid_of(planes)
        page = numbers_of(levels)[planes]
        pitch, first = strips_of(page)
        coder = self._coder if page.size <= MOST_BYTES // 2 else CODERS.index("xz")
        found = []
        for bits in sorted({_bits(levels), 8}):
            used, data = _compressed(_records(page, bits, pitch, first), coder)
            numbers = (used, levels, len(planes) // pixels.shape[0], bits, pitch, first)
            found.append(Payload(b"".join(map(varint, numbers)), (data,)))
        return min(found, key=lambda payload: len(payload.sections[0]))

    @classmethod
    def restore(cls, stream: Bitstream) -> Pixels:
        """The page of the records."""
        cursor = Cursor(stream.parameters, "strips")
        coder, levels, planes, bits, pitch, first = (cursor.varint() for _ in range(6))
        cursor.end()
        if coder >= len(CODERS) or not 2 <= levels <= 256 or not first < pitch <= _MOST_PITCH:
            raise BitstreamError(f"strips: coder {coder}, {levels} levels, pitch {pitch}")
        if bits not in (_bits(levels), 8):
            raise BitstreamError(f"strips: {bits} bits for each of {levels} levels")
        if planes not in ((1,) if len(stream.shape) == 2 else (1, 3)):
            raise BitstreamError(f"strips: {planes} planes")
        height, width = planes * stream.shape[0], stream.shape[1]
        count = _count(height, pitch, first)
        size = count * width * -(-pitch * bits // 8)
        (data,) = stream.sections
        records = _from_xz(data, size) if coder else decompress(data, size, _ORDER)
        page = _page(records, bits, (height, width), pitch, first)
        if int(page.max()) >= levels:
            raise BitstreamError(f"strips: a level above {levels - 1}")
        return restored_page(values_of(levels)[page], stream.shape)


def _compressed(records: bytes, coder: int) -> tuple[int, bytes]:
    """The coder that was used, and its bytes: xz where PPMd can't code the records."""
    if CODERS[coder] == "ppmd":
        try:
            return coder, compress(records, _ORDER)
        except OverflowError:
            pass
    return CODERS.index("xz"), lzma.compress(records, lzma.FORMAT_RAW, filters=_XZ)


def strips_of(page: Pixels) -> tuple[int, int]:
    """The pitch of the text lines of a page [H, W], and the row at which the first whole strip
    begins, less than the pitch; the whole page is one strip where there are no two lines.
    """
    shown = page != background(page)
    tops = [top for top, _ in runs(np.asarray(shown.any(axis=1)))]
    pitches = Counter(int(pitch) for pitch in np.diff(tops) if pitch <= _MOST_PITCH)
    if not pitches:
        return min(len(page), _MOST_PITCH), 0
    pitch = min(pitches, key=lambda rows: (-pitches[rows], rows))
    ink = np.append(shown.sum(axis=1), 0)
    through = np.minimum(ink[1:], ink[:-1])
    cuts = [
        int(through[first - 1 if first else pitch - 1 :: pitch].sum()) for first in range(pitch)
    ]
    return pitch, int(np.argmin(cuts))


def _count(height: int, pitch: int, first: int) -> int:
    """Strips, the one above the first whole one among them."""
    return -(-(height + -first % pitch) // pitch)


def _bits(levels: int) -> int:
    return next(bits for bits in (1, 2, 4, 8) if levels <= 1 << bits)


def _records(page: Pixels, bits: int, pitch: int, first: int) -> bytes:
    above = -first % pitch
    count = _count(len(page), pitch, first)
    below = count * pitch - above - len(page)
    whole = np.pad(page, ((above, below), (0, 0)), constant_values=background(page))
    columns = np.ascontiguousarray(whole.reshape(count, pitch, -1).transpose(0, 2, 1))
    if bits == 8:
        return columns.tobytes()
    apart = np.unpackbits(columns[..., None], axis=-1)[..., 8 - bits :]
    return np.packbits(apart.reshape(*columns.shape[:2], pitch * bits), axis=-1).tobytes()


def _page(records: bytes, bits: int, size: tuple[int, int], pitch: int, first: int) -> Pixels:
    above = -first % pitch
    shape = (_count(size[0], pitch, first), size[1], -1)
    columns = np.frombuffer(records, dtype=np.uint8).reshape(shape)
    if bits < 8:
        apart = np.unpackbits(columns, axis=-1, count=pitch * bits)
        weights = (1 << np.arange(bits)[::-1]).astype(np.uint8)
        columns = apart.reshape(*shape[:2], pitch, bits) @ weights
    whole = columns.transpose(0, 2, 1).reshape(-1, size[1])
    return np.ascontiguousarray(whole[above : above + size[0]])


def _from_xz(data: bytes, size: int) -> bytes:
    decoder = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_XZ)
    try:
        found = decoder.decompress(data, size)
        more = b"" if decoder.eof else decoder.decompress(b"", 1)
    except lzma.LZMAError as error:
        raise BitstreamError(f"strips: {error}") from error
    if len(found) != size or more or not decoder.eof or decoder.unused_data:
        raise BitstreamError("strips: the records have a wrong length")
    return found
