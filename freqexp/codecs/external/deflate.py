"""The example of a codec that a package offers: pages deflated by zlib, lossless.

A module with these two functions, or an object or class with these two methods, is all there is to
it, named in a package's entry points of the group `freqexp.codecs`.
"""

from __future__ import annotations

import math
import struct
import zlib

import numpy as np

from freqexp.coding.bitstream import MAX_SAMPLES
from freqexp.nouns.page import Pixels

version = "1"
"""Part of a run's id. Whatever changes bytes or pixels gives it another one."""

side_bytes = 0
"""Size of what decoding needs beside the bytes, such as weights."""

_HEAD = struct.Struct("<HHB")


def encode(page: Pixels) -> bytes:
    """Height, width and channels (0: gray), then the samples of [H, W] or [H, W, 3], deflated."""
    channels = 0 if page.ndim == 2 else page.shape[2]
    return _HEAD.pack(page.shape[0], page.shape[1], channels) + zlib.compress(page.tobytes(), 9)


def decode(data: bytes) -> Pixels:
    """The page again. Raises ValueError for anything but what `encode` wrote."""
    if len(data) < _HEAD.size:
        raise ValueError("truncated")
    height, width, channels = _HEAD.unpack_from(data)
    shape = (height, width, channels) if channels else (height, width)
    size = math.prod(shape)
    if size > MAX_SAMPLES:
        raise ValueError(f"{size} samples")
    inflating = zlib.decompressobj()
    try:
        found = inflating.decompress(data[_HEAD.size :], size + 1)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if len(found) != size or not inflating.eof or inflating.unused_data:
        raise ValueError("not as many samples as the head says")
    return np.frombuffer(found, dtype=np.uint8).reshape(shape)
