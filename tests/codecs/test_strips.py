"""Strips of text lines, and prediction by partial matching."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench.codec_texts import GREEK, prose
from freqexp.codecs.base import decode
from freqexp.codecs.posterize import Posterize
from freqexp.codecs.strips import CODERS, Strips, _records, strips_of
from freqexp.coding.bitstream import BitstreamError, unpack
from freqexp.coding.ppm import compress, decompress
from freqexp.errors import ConfigError
from freqexp.nouns.page import Pixels
from freqexp.pages.glyph import GlyphRenderer


def ruled(pitch: int, first: int, rows: int = 90) -> Pixels:
    """Lines of marks with two blank rows between them."""
    page = np.full((rows, 40), 255, dtype=np.uint8)
    rng = np.random.default_rng(pitch)
    for top in range(first, rows - pitch, pitch):
        marks = rng.integers(0, 256, (pitch - 2, 40), dtype=np.uint8)
        marks[:, ::3] = 255
        page[top : top + pitch - 2] = marks
    return page


@pytest.mark.parametrize(("pitch", "first"), [(16, 10), (12, 0), (7, 5)])
def test_pitch_and_first_row_are_found(pitch: int, first: int) -> None:
    page = ruled(pitch, first)
    found, begin = strips_of(page)
    assert found == pitch
    cuts = [row for row in range(begin, len(page), found) if 0 < row < len(page)]
    assert all((page[row - 1] == 255).all() or (page[row] == 255).all() for row in cuts)
    assert strips_of(np.full((30, 9), 255, dtype=np.uint8)) == (30, 0)
    assert strips_of(np.full((900, 9), 255, dtype=np.uint8)) == (512, 0)


@pytest.mark.parametrize("coder", CODERS)
@pytest.mark.parametrize("levels", [2, 3, 5, 16, 17, 256])
def test_a_page_is_its_rounded_self_again(coder: str, levels: int) -> None:
    codec = Strips(levels=levels, coder=coder)
    for page in (ruled(16, 10), ruled(7, 3), ruled(16, 10)[:, :1], ruled(16, 10)[:1]):
        result = codec.compress(page)
        assert np.array_equal(result.pixels, Posterize(levels=levels).compress(page).pixels)
        assert np.array_equal(decode(codec.encode(page)), result.pixels)
    colour = np.random.default_rng(1).integers(0, 256, (31, 20, 3), dtype=np.uint8)
    wanted = Posterize(levels=levels).compress(colour).pixels
    assert np.array_equal(codec.compress(colour).pixels, wanted)


@pytest.mark.parametrize("coder", CODERS)
def test_damage_behind_the_checksum_is_found(coder: str) -> None:
    data = Strips(levels=2, coder=coder).encode(ruled(16, 10))
    stream = unpack(data)
    (records,) = stream.sections
    for changed in (records + b"x", b"\0" * 9, b"\xff" * len(records)):
        with pytest.raises(BitstreamError):
            decode(replace(stream, sections=(changed,)).pack())
    head = stream.parameters
    for parameters in (b"", b"\x02" + head[1:], head[:1] + b"\0" + head[2:], head[:-1] + b"\x10"):
        with pytest.raises(BitstreamError):
            decode(replace(stream, parameters=parameters).pack())
    with pytest.raises(BitstreamError):
        decode(replace(stream, parameters=head[:3] + b"\x04" + head[4:]).pack())


def test_settings_outside_their_ranges() -> None:
    with pytest.raises(ConfigError) as caught:
        Strips(keep_ratio=0, levels=300, coder="zip")
    assert list(caught.value.faults) == [
        "keep_ratio: got 0, allowed: above 0, at most 1",
        "levels: got 300, allowed: an integer from 2 to 256",
        "coder: got 'zip', allowed: ppmd, xz",
    ]


@pytest.mark.parametrize("order", [2, 16, 64])
@pytest.mark.parametrize("before", [b"", b"all that was said before"])
def test_ppm_gives_back_what_it_got(order: int, before: bytes) -> None:
    rng = np.random.default_rng(order)
    for data in (b"", b"a", b"abra" * 50, rng.bytes(300)):
        coded = compress(data, order, before)
        assert decompress(coded, len(data), order, before) == data
    known = compress(b"all that was said", order, before)
    assert (len(known) < 10) is bool(before)


@pytest.mark.parametrize("before", [b"", b"known already " * 9])
def test_ppm_refuses_what_no_encoder_makes(before: bytes) -> None:
    coded = compress(b"abracadabra" * 9, 4, before)
    refused = 0
    for damaged in (b"", coded[:-1], coded + b"\0", b"\xff" * len(coded), coded[1:], coded[:9]):
        for size in (98, 99, 100):
            try:
                found = decompress(damaged, size, 4, before)
            except BitstreamError:
                refused += 1
            else:
                assert compress(found, 4, before) == damaged
    assert refused > 10
    with pytest.raises(BitstreamError, match="at most 1048576"):
        decompress(coded, 1 << 21, 4, before)
    with pytest.raises(OverflowError):
        compress(bytes((1 << 20) + 1), 4)
    with pytest.raises(BitstreamError, match="for nothing"):
        decompress(b"x", 0, 4, before)


def test_pages_that_ppmd_would_not_decode_again_take_xz() -> None:
    text = prose("Greek", (GREEK,), 4500)
    (page, *_) = GlyphRenderer(font_pt=14, line_height_pt=16, crop=False).render_text(text)
    data = Strips(levels=256).encode(page.pixels)
    assert unpack(data).parameters[0] == CODERS.index("xz")
    np.testing.assert_array_equal(decode(data), page.pixels)
    records = _records(page.pixels, 8, *strips_of(page.pixels))
    with pytest.raises(OverflowError):
        compress(records, 16)
