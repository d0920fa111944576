from __future__ import annotations

import pytest

from freqexp.benchmarks.legibility import character_error_rate


def test_errors_are_counted_line_by_line() -> None:
    assert character_error_rate(["a line\nb"], ["a line\nb"]) == 0
    # One substituted, one missing, one too many, of 12 characters.
    assert character_error_rate(["four\nfour\nfour"], ["f0ur\nfor\nfourr"]) == 3 / 12
    assert character_error_rate(["ab", "cd"], ["", "cd"]) == 0.5
    assert character_error_rate(["ab"], ["xyzxyz"]) == 3


def test_white_space_at_the_ends_of_lines_is_no_error() -> None:
    assert character_error_rate([" cut  \n"], ["cut\n"]) == 0


def test_without_text_there_is_no_rate() -> None:
    assert character_error_rate(["", " "], ["", "x"]) is None


def test_a_transcript_has_the_lines_of_its_page() -> None:
    with pytest.raises(ValueError, match="zip"):
        character_error_rate(["a\nb"], ["a"])
