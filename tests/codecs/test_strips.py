"""Strips of text lines, and prediction by partial matching."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench.codec_texts import GREEK, prose
from freqexp.codecs import columns
from freqexp.codecs.base import decode
from freqexp.codecs.columns import CODERS, strips_of
from freqexp.codecs.pitch import pitch_of
from freqexp.codecs.posterize import Posterize
from freqexp.codecs.strips import Strips
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


def greek_page() -> Pixels:
    """Lines that touch: at 14 px and 16 rows a line, accents meet what hangs below."""
    text = prose("Greek", (GREEK,), 4500)
    (page, *_) = GlyphRenderer(font_pt=14, line_height_pt=16, crop=False).render_text(text)
    return page.pixels


def test_pages_that_ppmd_would_not_decode_again_take_xz(monkeypatch: pytest.MonkeyPatch) -> None:
    page = greek_page()
    monkeypatch.setattr(columns, "pitch_of", lambda shown: 80)
    data = Strips(levels=256).encode(page)
    assert unpack(data).parameters[0] == CODERS.index("xz")
    np.testing.assert_array_equal(decode(data), page)
    records = columns._records(page, 8, *strips_of(page))
    with pytest.raises(OverflowError):
        compress(records, 16)


def test_the_pitch_of_lines_that_touch() -> None:
    page = greek_page()
    shown = page != 255
    # Three runs of rows for 51 lines.
    assert np.count_nonzero(np.diff(shown.any(axis=1).astype(int)) == 1) == 3
    assert pitch_of(shown) == 16
    assert strips_of(page)[0] == 16


def test_the_pitch_where_dots_are_apart_or_rows_repeat_by_threes() -> None:
    """Dots above their letters are runs of rows, too, and text may repeat every few lines."""
    dots = np.zeros((160, 30), dtype=bool)
    for top in range(0, 160, 16):
        dots[top] = dots[top + 3 : top + 11] = True
    assert pitch_of(dots) == 16
    threes = np.zeros((480, 30), dtype=bool)
    for number, top in enumerate(range(0, 480, 16)):
        threes[top : top + 12, : (30, 2, 2)[number % 3]] = True
    assert pitch_of(threes) == 16
    assert pitch_of(np.ones((90, 5), dtype=bool)) is None
    assert pitch_of(np.zeros((1, 1), dtype=bool)) is None
