"""The numbers of codecs: found, unique, and as the page of bitstreams has them."""

from __future__ import annotations

import re
from pathlib import Path

import freqexp
from freqexp.codecs.base import codec_type
from freqexp.codecs.numbers import OUTSIDE, codes
from freqexp.coding.bitstream import BitstreamError

PAGE = Path(freqexp.__file__).parents[1] / "docs" / "bitstreams.md"


def test_every_number_names_the_codec_that_writes_it() -> None:
    loaded = 0
    for code, place in codes().items():
        try:
            found = codec_type(code)
        except BitstreamError:
            continue
        assert (found.code, found.__name__) == (code, place.split(":")[1])
        loaded += 1
    assert loaded > 10


def test_the_page_has_every_number_once_and_none_is_given_again() -> None:
    text = PAGE.read_text().partition("\n## The codecs\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (\d+(?:, \d+)*) \|", text, re.MULTILINE)
    numbers = [int(number) for row in rows for number in row.split(", ")]
    assert len(set(numbers)) == len(numbers)
    assert set(codes()) <= set(numbers) - {OUTSIDE}
