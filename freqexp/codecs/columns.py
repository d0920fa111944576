"""A page's text lines column by column, as records for a general compressor."""

from __future__ import annotations

import lzma

import numpy as np

from freqexp.codecs.levels import background
from freqexp.codecs.pitch import MOST_PITCH, pitch_of
from freqexp.coding.bitstream import BitstreamError, Cursor, varint
from freqexp.coding.ppm import MOST_BYTES, compress, decompress
from freqexp.nouns.page import Pixels

CODERS = ("ppmd", "xz")

MOST_PIXELS = MOST_BYTES // 2
"""Of pages that PPMd is taken for."""

_ORDER = 16
_XZ = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": 0, "pb": 0}]


def write(
    page: Pixels, levels: int, planes: int, bits: int, coder: str = "ppmd"
) -> tuple[bytes, bytes]:
    """Parameters and records of a page [H, W] of level numbers, as `strips` stores them.

    bits: a pixel, `bits_of(levels)` or 8. coder: xz is taken in any case for pages above
    MOST_PIXELS, and those that PPMd's library would not decode again.
    """
    pitch, first = strips_of(page)
    records = _records(page, bits, pitch, first)
    used, data = _compressed(records, coder if page.size <= MOST_PIXELS else "xz")
    numbers = (CODERS.index(used), levels, planes, bits, pitch, first)
    return b"".join(map(varint, numbers)), data


def read(parameters: bytes, data: bytes, shape: tuple[int, ...]) -> tuple[Pixels, int]:
    """The page [planes x H, W] of level numbers, and how many levels; shape: of the page with its
    channels. Raises BitstreamError for what `write` never gives.
    """
    cursor = Cursor(parameters, "strips")
    coder, levels, planes, bits, pitch, first = (cursor.varint() for _ in range(6))
    cursor.end()
    if coder >= len(CODERS) or not 2 <= levels <= 256 or not first < pitch <= MOST_PITCH:
        raise BitstreamError(f"strips: coder {coder}, {levels} levels, pitch {pitch}")
    if bits not in (bits_of(levels), 8):
        raise BitstreamError(f"strips: {bits} bits for each of {levels} levels")
    if planes not in ((1,) if len(shape) == 2 else (1, 3)):
        raise BitstreamError(f"strips: {planes} planes")
    height, width = planes * shape[0], shape[1]
    size = _count(height, pitch, first) * width * -(-pitch * bits // 8)
    records = _from_xz(data, size) if coder else decompress(data, size, _ORDER)
    page = _page(records, bits, (height, width), pitch, first)
    if int(page.max()) >= levels:
        raise BitstreamError(f"strips: a level above {levels - 1}")
    return page, levels


def bits_of(levels: int) -> int:
    """The fewest bits, 1, 2, 4 or 8, that so many levels fit in."""
    return next(bits for bits in (1, 2, 4, 8) if levels <= 1 << bits)


def strips_of(page: Pixels) -> tuple[int, int]:
    """The pitch of the text lines of a page [H, W], and the row at which the first whole strip
    begins, less than the pitch; the whole page is one strip where nothing repeats.
    """
    shown = page != background(page)
    pitch = pitch_of(shown)
    if pitch is None:
        return min(len(page), MOST_PITCH), 0
    ink = np.append(shown.sum(axis=1), 0)
    through = np.minimum(ink[1:], ink[:-1])
    cuts = [
        int(through[first - 1 if first else pitch - 1 :: pitch].sum()) for first in range(pitch)
    ]
    return pitch, int(np.argmin(cuts))


def _compressed(records: bytes, coder: str) -> tuple[str, bytes]:
    """The coder that was used, and its bytes: xz where PPMd can't code the records."""
    if coder == "ppmd":
        try:
            return coder, compress(records, _ORDER)
        except OverflowError:
            pass
    return "xz", lzma.compress(records, lzma.FORMAT_RAW, filters=_XZ)


def _count(height: int, pitch: int, first: int) -> int:
    """Strips, the one above the first whole one among them."""
    return -(-(height + -first % pitch) // pitch)


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
