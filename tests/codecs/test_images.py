"""Codecs that are image formats: settings, and files that are not what the container says."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from freqexp.codecs.avif import Avif
from freqexp.codecs.base import Codec, decode
from freqexp.codecs.block_dct import BlockDct
from freqexp.codecs.downsample import Downsample
from freqexp.codecs.jpeg import Jpeg
from freqexp.codecs.jpeg2000 import Jpeg2000
from freqexp.codecs.jxl import Jxl
from freqexp.codecs.jxl_lossless import JxlLossless
from freqexp.codecs.lossless import smallest_file
from freqexp.codecs.png import Png
from freqexp.codecs.posterize import Posterize
from freqexp.codecs.webp import Webp
from freqexp.codecs.webp_lossless import WebpLossless
from freqexp.coding.bitstream import Bitstream, BitstreamError, unpack, varint
from freqexp.errors import ConfigError
from freqexp.nouns.page import Pixels

FORMATS: tuple[Codec, ...] = (
    Png(),
    WebpLossless(),
    JxlLossless(),
    Jpeg(),
    Webp(),
    Avif(),
    Jxl(),
    Jpeg2000(),
    Jpeg2000(lossless=True),
)
AGAIN = """
import hashlib, json, sys
from freqexp.codecs.base import decode
from freqexp.codecs.block_dct import BlockDct
streams = [bytes.fromhex(line) for line in sys.stdin.read().split()]
pages = [decode(stream) for stream in streams]
# The first stream is the page itself, the last one block_dct's of it.
assert BlockDct().encode(pages[0]) == streams[-1]
print(json.dumps([[list(p.shape), hashlib.sha256(p.tobytes()).hexdigest()] for p in pages]))
"""


@pytest.mark.parametrize("threads", ["1", "3"])
def test_a_fresh_process_has_the_same_pixels_and_bytes(text_page: Pixels, threads: str) -> None:
    page = text_page[:300, :300]
    codecs = [*FORMATS, Posterize(), Downsample(0.3), Downsample(0.3, True), BlockDct()]
    streams = [codec.encode(page) for codec in codecs]
    root = Path(__file__).parents[2]
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "PYTHONPATH": str(root)}
    found = subprocess.run(
        [sys.executable, "-c", AGAIN],
        input="\n".join(stream.hex() for stream in streams),
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    expected = [decode(stream) for stream in streams]
    assert json.loads(found.stdout) == [
        [list(pixels.shape), hashlib.sha256(pixels.tobytes()).hexdigest()] for pixels in expected
    ]


@pytest.mark.parametrize("codec", FORMATS, ids=lambda codec: type(codec).__name__)
def test_a_file_of_another_size_or_format(codec: Codec, text_page: Pixels) -> None:
    stream = unpack(codec.encode(text_page[:30, :40]))
    other = Bitstream(codec.code, (30, 41), b"", stream.sections)
    with pytest.raises(BitstreamError, match=r"pixels|size"):
        decode(other.pack())
    with pytest.raises(BitstreamError):
        decode(Bitstream(codec.code, (30, 40), b"", (b"no image at all",)).pack())
    with pytest.raises(BitstreamError, match="parameters where none belong"):
        decode(Bitstream(codec.code, (30, 40), b"x", stream.sections).pack())


def test_posterize_has_its_levels(text_page: Pixels) -> None:
    page = text_page[:100, :100]
    assert np.unique(Posterize(0.01).compress(page).pixels).tolist() == [0, 255]
    four = Posterize(levels=4).compress(page).pixels.astype(int)
    assert np.unique(four).tolist() == [0, 85, 170, 255]
    assert np.abs(four - page).max() <= 43
    np.testing.assert_array_equal(Posterize(1.0).compress(page).pixels, page)


@pytest.mark.parametrize(
    ("keep_ratio", "size"), [(0.25, (50, 40)), (1e-9, (1, 1)), (1.0, (100, 80))]
)
def test_downsample_sizes(text_page: Pixels, keep_ratio: float, size: tuple[int, int]) -> None:
    page = text_page[:100, :80]
    assert Downsample(keep_ratio).compress(page).pixels.shape == size
    assert Downsample(keep_ratio, True).compress(page).pixels.shape == page.shape


def test_downsample_never_stores_more_than_the_page(text_page: Pixels) -> None:
    page = text_page[:200, :200]
    limit = len(smallest_file(page)[1]) + 30
    assert all(len(Downsample(ratio).encode(page)) <= limit for ratio in (0.4, 0.7, 0.9))


def test_downsample_of_a_hostile_size(text_page: Pixels) -> None:
    stream = unpack(Downsample(0.3).encode(text_page[:30, :40]))
    for sizes in ((60_000, 60_000, 9, 9), (9, 9, 60_000, 60_000), (0, 9, 9, 9)):
        parameters = b"".join(map(varint, (0, *sizes)))
        with pytest.raises(BitstreamError, match="downsample: a page of"):
            decode(Bitstream(10, stream.shape, parameters, stream.sections).pack())
    with pytest.raises(BitstreamError, match="lossless image: format 7"):
        decode(Bitstream(10, (9, 9), bytes([7, 9, 9, 9, 9]), stream.sections).pack())


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Jpeg(0.0), "keep_ratio: got 0.0"),
        (lambda: Webp(quality=101), "quality: got 101"),
        (lambda: Avif(2.0, 0), "keep_ratio: got 2.0, .*\nquality: got 0"),
        (lambda: Jxl(distance=26), "distance: got 26"),
        (lambda: JxlLossless(0), "effort: got 0"),
        (lambda: WebpLossless(7), "effort: got 7"),
        (lambda: Posterize(levels=1), "levels: got 1"),
        (lambda: Downsample(0), "keep_ratio: got 0"),
    ],
)
def test_settings_out_of_range(build: object, message: str) -> None:
    assert callable(build)
    with pytest.raises(ConfigError, match=message):
        build()
