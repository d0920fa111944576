"""Outputs of the recogniser to lines, lines to the text that was wrapped."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from freqexp.readers.recogniser.text import Line, Outputs, decode_page, reflow

ALPHABET = ["", *"abcdefghijklmnopqrstuvwxyz", " "]
PITCH = 3


def outputs(text: str, columns: Sequence[int] | None = None) -> Outputs:
    """Tokens as a line of outputs; "-" is the blank."""
    best = [ALPHABET.index(c) if c != "-" else 0 for c in text]
    places = range(len(best)) if columns is None else columns
    return Outputs(
        np.array(best, dtype=np.int64),
        np.linspace(0.5, 1, len(best), dtype=np.float32),
        np.array(places, dtype=np.int64),
    )


def drawn(rows: Sequence[str], width: int) -> list[Line]:
    """Rows of monospaced cells, three columns each, read without an error."""
    page = []
    for row in rows:
        spread = "".join(f"-{c}-" for c in row)
        page.append(outputs(spread + "-" * (PITCH * width - len(spread))))
    return decode_page(page, PITCH * width, ALPHABET)


def test_repeated_outputs_count_once_and_blanks_not_at_all() -> None:
    (line,) = decode_page([outputs("--aab-bb--c")], 11, ALPHABET)
    assert line.text == "abbc"
    assert line.columns == (2, 4, 6, 10)
    assert line.sure == pytest.approx((0.6, 0.7, 0.8, 1.0))
    assert (line.width, line.reach) == (11, 10)


def test_spaces_at_the_ends_are_not_read() -> None:
    (line,) = decode_page([outputs(" -a b- ")], 7, ALPHABET)
    assert (line.text, line.columns) == ("a b", (2, 3, 4))


def test_a_line_may_have_lost_its_tokens() -> None:
    gone, blank, line = decode_page(
        [outputs(""), outputs("---"), outputs("ab", columns=[4, 9])], 12, ALPHABET
    )
    assert (gone.text, blank.text) == ("", "")
    assert (line.text, line.columns, line.pitch) == ("ab", (4, 9), 5)
    assert {gone.reach, blank.reach, line.reach} == {9}


def test_what_follows_begins_with_a_letter() -> None:
    (line,) = drawn(["ab  cd"], 8)
    assert line.after(2).text == "cd"
    assert line.after(2).columns == line.columns[4:]
    assert line.after(6).text == ""


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        (["abcdefgh", "ij"], "abcdefghij"),  # cut in a word at the edge
        (["abc defg", " hi jk"], "abc defg hi jk"),  # the space begins the next row
        (["abc def ", "hi jk"], "abc def hi jk"),  # the space ends the row
        (["abc", "de", "fghijklm"], "abc\nde fghijklm"),  # room was left
        (["ab", "", "cd"], "ab\n\ncd"),
        (["", "ab", ""], "ab"),
        ([], ""),
    ],
)
def test_wrapped_rows_become_text_again(rows: Sequence[str], text: str) -> None:
    assert reflow(drawn(rows, 8)) == text


def test_words_that_had_no_room_were_wrapped() -> None:
    rows = ["the lamps lean out", "over", "a boat and the", "tonight answering"]
    assert reflow(drawn(rows, 24)) == "the lamps lean out over\na boat and the tonight answering"
