"""What pages take without any method, also where a format is missing or too small."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from freqexp.answering.ledger import page_sizes
from freqexp.codecs import lossless, reference
from freqexp.nouns.page import Page


@pytest.fixture
def without_jpeg_xl(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (lossless, reference):
        monkeypatch.setattr(module, "has_jpeg_xl", lambda: False)
    reference._warn.cache_clear()


@pytest.mark.usefixtures("without_jpeg_xl")
def test_without_jpeg_xl_the_reference_is_not_known(caplog: pytest.LogCaptureFixture) -> None:
    pages = [Page(np.full((16, 16), shade, np.uint8), "text") for shade in (0, 255)]
    with caplog.at_level(logging.WARNING):
        sizes = page_sizes(pages)
    assert sizes.lossless_bytes is None
    assert sizes.png_bytes > 0
    assert [record.message for record in caplog.records] == [
        "imagecodecs was built without JPEG XL: what pages take without loss is not measured"
    ]


@pytest.mark.usefixtures("without_jpeg_xl")
def test_files_of_pages_do_without_it() -> None:
    page = np.random.default_rng(0).integers(0, 256, (9, 7), dtype=np.uint8)
    for stored in (lossless.smallest_file(page), lossless.thorough_file(page)):
        assert np.array_equal(lossless.read_file(*stored, page.shape), page)


def test_a_page_that_webp_cannot_hold_is_measured() -> None:
    wide = np.full((2, 16_390), 255, np.uint8)
    wide[0, ::7] = 0
    sizes = page_sizes([Page(wide, "")])
    assert sizes.lossless_bytes is not None
    assert 0 < sizes.lossless_bytes <= sizes.png_bytes
