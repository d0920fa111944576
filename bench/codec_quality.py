"""What a codec does to one page: bytes, PSNR, SSIM."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from freqexp.codecs.base import Codec, decode, taken_apart
from freqexp.codecs.posterize import Posterize
from freqexp.nouns.page import Pixels

WITHOUT_ERROR_DB = 99.0


@dataclass(frozen=True)
class Posterized:
    """A codec that stores pages at a few gray levels only, as `posterize` makes them."""

    codec: Codec
    levels: int

    def encode(self, pixels: Pixels) -> bytes:
        """See `Codec.encode`."""
        return self.codec.encode(decode(Posterize(levels=self.levels).encode(pixels)))


@dataclass(frozen=True)
class Figures:
    """Of one page. size: bytes, `share` of a codebook or prior among them."""

    size: int
    share: int
    psnr_db: float
    ssim: float
    encode_ms: float
    decode_ms: float
    decoded: Pixels


def page_figures(codec: Codec | Posterized | None, page: Pixels) -> Figures:
    """Bytes, likeness and the decoded page of one page; None: as it is."""
    if codec is None:
        return Figures(page.nbytes, 0, WITHOUT_ERROR_DB, 1.0, 0.0, 0.0, page)
    started = time.process_time()
    data = codec.encode(page)
    encoded = time.process_time()
    decoded = decode(data)
    done = time.process_time()
    times = 1000 * (encoded - started), 1000 * (done - encoded)
    size = counted_bytes(codec, data)
    likeness = psnr_db(page, decoded), _ssim(page, decoded)
    return Figures(size, size - len(data), *likeness, *times, decoded)


def counted_bytes(codec: Codec | Posterized, data: bytes) -> int:
    """Bytes that a page counts for its bitstream, and for its share of what many pages share."""
    whole = codec.codec if isinstance(codec, Posterized) else codec
    return sum(whole.ledger(taken_apart(data)[0], len(data)).values())


def psnr_db(one: Pixels, other: Pixels) -> float:
    """Peak signal-to-noise ratio, 99 for equal pages."""
    error = float(((one.astype(np.float64) - other) ** 2).mean())
    if not error:
        return WITHOUT_ERROR_DB
    return min(WITHOUT_ERROR_DB, float(10 * np.log10(255**2 / error)))


def _ssim(one: Pixels, other: Pixels) -> float:
    from skimage.metrics import structural_similarity

    compare: Any = structural_similarity
    return float(compare(one, other, data_range=255))
