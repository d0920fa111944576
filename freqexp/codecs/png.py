"""Optimised PNG."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np

from freqexp.codecs.images import ImageCodec, read_pillow, write_pillow
from freqexp.nouns.page import Pixels


class Png(ImageCodec):
    """PNG with the best of zlib's settings (Pillow's `optimize`). Lossless.

    A page of few levels or colours is stored at 1, 2, 4 or 8 bits a pixel where that is smaller:
    black and white as they are, others as entries of a palette.
    """

    code = 2

    def write(self, pixels: Pixels) -> bytes:
        """See `ImageCodec`."""
        files = [write_pillow(pixels, "PNG", optimize=True), *_indexed(pixels)]
        return min(files, key=len)

    @classmethod
    def read(cls, data: bytes, shape: tuple[int, ...]) -> Pixels:
        """See `ImageCodec`."""
        return read_pillow(data, "PNG", shape)


def _indexed(pixels: Pixels) -> Iterator[bytes]:
    """Files of a page of at most 16 levels or 256 colours at fewer bits than its samples have.

    With the filters that Pillow chooses and two of zlib's strategies, and without filters, as none
    of these is the best for all pages.
    """
    from PIL import Image

    page = Image.fromarray(pixels)
    found = page.getcolors(16 if pixels.ndim == 2 else 256)
    if found is None:
        return
    # [n] or [n, 3], in order.
    colours = np.array(sorted(colour for _, colour in found))
    options: dict[str, object] = {}
    if pixels.ndim == 2 and np.isin(colours, (0, 255)).all():
        bits, palette, numbers = 1, b"", pixels // 255
        image = page.convert("1", dither=Image.Dither.NONE)
    else:
        bits = next(bits for bits in (1, 2, 4, 8) if len(colours) <= 1 << bits)
        palette = bytes((np.repeat(colours, 3) if pixels.ndim == 2 else colours).ravel().tolist())
        weights = np.array([1] if pixels.ndim == 2 else [1 << 16, 1 << 8, 1])
        known = colours.reshape(len(colours), -1) @ weights
        packed = pixels.reshape(*pixels.shape[:2], -1) @ weights
        numbers = np.searchsorted(known, packed).astype(np.uint8)
        image = Image.frombytes("P", page.size, numbers.tobytes())
        image.putpalette(palette)
        options["bits"] = bits
    for strategy in (zlib.Z_FILTERED, zlib.Z_DEFAULT_STRATEGY):
        buffer = io.BytesIO()
        image.save(buffer, "PNG", compress_level=9, compress_type=strategy, **options)
        yield buffer.getvalue()
    yield _unfiltered(numbers, bits, palette)


def _unfiltered(numbers: Pixels, bits: int, palette: bytes) -> bytes:
    """A file of [H, W] numbers of `bits` bits, which Pillow writes with filters alone: entries of a
    palette (RGB), or levels of gray where that is empty.
    """
    height, width = numbers.shape
    digits = numbers[..., np.newaxis] >> np.arange(bits, dtype=np.uint8)[::-1] & 1
    rows = np.packbits(digits.reshape(height, -1), axis=1)
    # Each row begins with the number of its filter, 0 for none.
    stored = zlib.compress(np.pad(rows, ((0, 0), (1, 0))).tobytes(), 9)
    head = struct.pack(">IIBBBBB", width, height, bits, 3 if palette else 0, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"PLTE", palette), (b"IDAT", stored), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
        if data or name != b"PLTE"
    )
