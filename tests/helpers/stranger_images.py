"""Pages as image files, written from docs/bitstreams.md alone."""

from __future__ import annotations

import io
from typing import Any

import imagecodecs
import numpy as np
from PIL import Image
from stranger_base import Page

Pixels = np.ndarray[Any, Any]

IMAGES: dict[int, int | str] = {2: 0, 3: 1, 4: 2, 5: "JPEG", 6: "WEBP", 7: "AVIF", 8: 2, 13: "J2K"}


def picture(chosen: int | str, data: bytes, height: int, width: int, channels: int) -> Pixels:
    """The page in an image file. chosen: the number of a lossless format, or a name."""
    if chosen == 2:
        found = imagecodecs.jpegxl_decode(data)
    elif chosen == "J2K":
        found = imagecodecs.jpeg2k_decode(data)
    else:
        form = ("PNG", "WEBP")[chosen] if isinstance(chosen, int) else chosen
        image = Image.open(io.BytesIO(data), formats=(form,))
        red, green, blue = (np.array(image.convert("RGB")).astype(int)[..., c] for c in range(3))
        if channels == 3:
            found = np.stack([red, green, blue], axis=2)
        else:
            found = (19595 * red + 38470 * green + 7471 * blue + 32768) // 65536
    shape = (height, width) if channels == 1 else (height, width, 3)
    assert found.size == height * width * channels
    return np.asarray(found).reshape(shape).astype(np.uint8)


def downsample(page: Page) -> Pixels:
    """Code 10."""
    chosen, high, wide, small_high, small_wide = page.parameters.varints(5)
    page.parameters.end()
    found = picture(chosen, page.sections[0], high, wide, page.channels)
    found = resized(found, small_high, small_wide)
    return resized(found, page.height, page.width)


def resized(page: Pixels, height: int, width: int) -> Pixels:
    """Bicubic, across and then down."""
    found = page
    if width != page.shape[1]:
        found = np.moveaxis(_resized_rows(np.moveaxis(found, 1, 0), width), 0, 1)
    return _resized_rows(found, height) if height != page.shape[0] else found


def _resized_rows(page: Pixels, size: int) -> Pixels:
    scale = len(page) / size
    reach = max(scale, 1.0)
    found = np.zeros((size, *page.shape[1:]), dtype=np.uint8)
    for place in range(size):
        center = (place + 0.5) * scale
        first = max(int(np.floor(center - 2 * reach + 0.5)), 0)
        last = min(int(np.floor(center + 2 * reach + 0.5)), len(page))
        weights = [_cubic((i - center + 0.5) / reach) for i in range(first, last)]
        total = np.zeros(page.shape[1:], dtype=np.int64)
        for i, weight in zip(range(first, last), weights, strict=True):
            share = weight / sum(weights) * 2**22
            total += int(share + (0.5 if share >= 0 else -0.5)) * page[i].astype(np.int64)
        found[place] = np.clip((total + 2**21) // 2**22, 0, 255)
    return found


def _cubic(x: float) -> float:
    a, x = -0.5, abs(x)
    if x < 1:
        return ((a + 2) * x - (a + 3)) * x * x + 1
    return (((x - 5) * x + 8) * x - 4) * a if x < 2 else 0.0


def djvu(page: Page) -> bytes:
    """The file of code 14 that a decoder of DjVu reads."""
    size = page.width.to_bytes(2, "big") + page.height.to_bytes(2, "big")
    chunks = b"DJVU" + _chunk(b"INFO", size + bytes([24, 0, 44, 1, 22, 1]))
    return b"AT&TFORM" + _sized(chunks + _chunk(b"Sjbz", page.sections[0]))


def _chunk(name: bytes, data: bytes) -> bytes:
    return name + _sized(data)


def _sized(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def jbig(page: Page) -> bytes:
    """The file of code 15 that a decoder of JBIG1 reads."""
    sizes = b"".join(n.to_bytes(4, "big") for n in (page.width, page.height, page.height))
    return bytes([0, 0, 1, 0]) + sizes + bytes([8, 0, 3, 28]) + page.sections[0]
