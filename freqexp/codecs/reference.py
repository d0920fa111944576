"""The baseline of every byte figure: what a page takes without any loss."""

from __future__ import annotations

import functools
import logging

from freqexp.codecs.lossless import has_jpeg_xl, smallest_file
from freqexp.codecs.planes import planes_of
from freqexp.codecs.symbols.page import cut, encode
from freqexp.nouns.page import Pixels

_HIGHEST = 255


log = logging.getLogger(__name__)


def lossless_size_bytes(pixels: Pixels) -> int | None:
    """Length of the smallest lossless form of `pixels` ([H, W] or [H, W, 3] uint8).

    The smallest of PNG, WebP and JPEG XL at default efforts (see `smallest_file`; the highest ones
    save some 5 % more for 20 times the time), and of the page as symbols, which no page of examples
    helped to code. None without JPEG XL, with one warning: against the others alone every ratio
    would flatter.
    """
    if not has_jpeg_xl():
        _warn()
        return None
    image = len(smallest_file(pixels)[1])
    try:
        return min(image, len(encode(cut(planes_of(pixels)), _HIGHEST)))
    except OverflowError:
        return image


@functools.cache
def _warn() -> None:
    log.warning(
        "imagecodecs was built without JPEG XL: what pages take without loss is not measured"
    )
