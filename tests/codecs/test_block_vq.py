"""block_vq: its codebook, its code words on real pages, and what it says about bad data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from freqexp.benchmarks.generate import generate
from freqexp.codecs.base import decode
from freqexp.codecs.block_vq import codebook as block_vq_codebook
from freqexp.codecs.block_vq.codebook import (
    NAME,
    Codebook,
    bundled_codebook,
    pack_ink,
    unpack_ink,
)
from freqexp.codecs.block_vq.codec import BlockVq
from freqexp.codecs.block_vq.match import dct_matrix
from freqexp.codecs.posterize import Posterize
from freqexp.coding.bitstream import BitstreamError, unpack
from freqexp.coding.share import PAGES
from freqexp.errors import ConfigError, UserError
from freqexp.nouns.page import Pixels
from freqexp.pages.glyph import GlyphRenderer


@pytest.fixture(scope="module")
def page() -> Pixels:
    """A page of the eval split, 595 x 842, 14 px."""
    renderer = GlyphRenderer(font_pt=14, line_height_pt=16, crop=False)
    return renderer.render(generate(2, 1, 3, "long", target_chars=6000)[0].turns)[0].pixels


def test_pages_of_text_take_less_than_half_of_posterised_ones_at_a_smaller_error() -> None:
    renderer = GlyphRenderer(font_pt=14, line_height_pt=16, crop=False)
    samples = generate(2, 3, 3, "long", target_chars=6000)
    pages = [page.pixels for s in samples for page in renderer.render(s.turns)[:2]]
    ours = [BlockVq(0.01).compress(page) for page in pages]
    posterised = [Posterize(levels=4).compress(page) for page in pages]
    sizes = [
        (one.stored_bytes, other.stored_bytes) for one, other in zip(ours, posterised, strict=True)
    ]
    assert all(one is not None and other is not None and one < other for one, other in sizes)
    assert 2 * sum(one or 0 for one, _ in sizes) < sum(other or 0 for _, other in sizes)
    for page, one, other in zip(pages, ours, posterised, strict=True):
        assert psnr_db(one.pixels, page) > psnr_db(other.pixels, page) + 5


def psnr_db(pixels: Pixels, page: Pixels) -> float:
    return float(10 * np.log10(255**2 / ((pixels.astype(float) - page) ** 2).mean()))


def test_the_codebook_counts_a_hundredth_of_its_file_on_each_page(page: Pixels) -> None:
    path = block_vq_codebook.DEFAULT
    codec = BlockVq(0.01)
    assert codec.shared_bytes == -(-path.stat().st_size // PAGES)
    assert codec.compress(page).components["codebook"] == codec.shared_bytes
    assert BlockVq(0.01, codebook=False).shared_bytes == 0


def test_without_the_codebook_every_code_word_is_in_the_bitstream(page: Pixels) -> None:
    crop = np.ascontiguousarray(page[:120])
    data = BlockVq(0.01, codebook=False).encode(crop)
    assert bytes.fromhex(NAME) not in unpack(data).parameters
    assert len(data) > len(BlockVq(0.01).encode(crop))
    assert decode(data).shape == crop.shape


def test_an_unknown_codebook_is_named(page: Pixels) -> None:
    stream = unpack(BlockVq(0.3).encode(np.ascontiguousarray(page[:120])))
    name = bytes.fromhex(NAME)
    assert stream.parameters.endswith(name)
    other = replace(stream, parameters=stream.parameters[:-1] + b"\0")
    with pytest.raises(
        BitstreamError, match=rf"needs the codebook {NAME[:-2]}00, here are: {NAME}"
    ):
        decode(other.pack())


def test_a_codebook_that_is_another_or_missing_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = bundled_codebook()
    data = Codebook(book.groups[:1], book.odds).pack()
    path = tmp_path / "other.fqvq"
    monkeypatch.setattr(block_vq_codebook, "DEFAULT", path)
    bundled_codebook.cache_clear()
    try:
        with pytest.raises(UserError, match="can't be read"):
            bundled_codebook()
        path.write_bytes(data)
        with pytest.raises(UserError, match=f"this program needs {NAME}"):
            bundled_codebook()
    finally:
        bundled_codebook.cache_clear()


def test_a_codebook_survives_its_file() -> None:
    book = bundled_codebook()
    again = Codebook.unpack(book.pack())
    for one, other in zip(book.groups, again.groups, strict=True):
        np.testing.assert_array_equal(one.advance, other.advance)
        for a, b in zip(one.words, other.words, strict=True):
            np.testing.assert_array_equal(a.ink, b.ink)
            assert (a.top, a.kind, a.origin) == (b.top, b.kind, b.origin)
    np.testing.assert_array_equal(book.odds, again.odds)
    data = bytearray(book.pack())
    data[len(data) // 2] ^= 1
    with pytest.raises(BitstreamError, match="damaged"):
        Codebook.unpack(bytes(data))


def test_pictures_survive_their_strip() -> None:
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 16, (h, w), dtype=np.uint8) for h, w in ((3, 5), (7, 2), (1, 1))]
    sizes = [(p.shape[0], p.shape[1]) for p in pictures]
    for one, other in zip(pictures, unpack_ink(pack_ink(pictures), sizes, "words"), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(BitstreamError, match="larger code words"):
        unpack_ink(pack_ink(pictures), [(3, 70)], "words")


def test_the_dct_is_orthonormal() -> None:
    basis = dct_matrix(17)
    np.testing.assert_allclose(basis @ basis.T, np.eye(17), atol=1e-6)


def test_settings_out_of_range_are_all_named() -> None:
    with pytest.raises(ConfigError) as caught:
        BlockVq(keep_ratio=0, block=9)
    assert "keep_ratio" in str(caught.value)
    assert "8, 14, 16, 28" in str(caught.value)
