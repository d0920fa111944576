"""Which characters are drawn, and where lines break."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freqexp.nouns.sample import Turn
from freqexp.pages.layout import conversation_text, drawable_lines, wrap


def one(character: str) -> float:
    return 1.0


def test_turns_start_lines_with_their_speaker() -> None:
    turns = [Turn("write a poem", "one\ntwo"), Turn("again", "three")]
    assert conversation_text(turns) == (
        "User: write a poem\nAssistant: one\ntwo\nUser: again\nAssistant: three"
    )


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a\nb\r\nc\rd\u2028e", ["a", "b", "c", "d", "e"]),
        ("a\n\nb\n", ["a", "", "b", ""]),
        ("\tx\ty", ["    x   y"]),
        ("no\u00a0break\u3000wide", ["no break wide"]),
        ("e\u0301", ["\u00e9"]),
        ("zero\u200bwidth\u00ad\ufeff\x07", ["zerowidth"]),
        ("half \ud83d", ["half \ufffd"]),
        ("", [""]),
    ],
)
def test_drawable_lines(text: str, lines: list[str]) -> None:
    assert drawable_lines(text) == lines


@pytest.mark.parametrize(
    ("line", "lines"),
    [
        ("the cat sat", ["the cat", "sat"]),
        ("the cats", ["the cats"]),
        ("the  cats", ["the", "cats"]),
        ("  in", ["  in"]),
        ("abcdefghijklmnopqrs", ["abcdefgh", "ijklmnop", "qrs"]),
        ("a abcdefghij b", ["a", "abcdefgh", "ij b"]),
        ("            far", ["far"]),
        ("", [""]),
        ("   ", [""]),
    ],
)
def test_wrap_at_eight(line: str, lines: list[str]) -> None:
    assert wrap(line, one, 8) == lines


def test_wrap_measures_characters() -> None:
    def wide(character: str) -> float:
        return 3.0 if character == "W" else 1.0

    assert wrap("iii WW iii", wide, 10) == ["iii WW", "iii"]
    assert wrap("WWWW", wide, 10) == ["WWW", "W"]
    assert wrap("WW", wide, 2) == ["W", "W"]


@given(
    words=st.lists(st.text("abWi", min_size=1, max_size=30), max_size=20),
    width=st.integers(3, 40),
)
def test_wrap_keeps_every_word_within_the_width(words: list[str], width: int) -> None:
    lines = wrap(" ".join(words), one, width)
    assert all(len(line) <= width for line in lines)
    assert "".join(lines).replace(" ", "") == "".join(words)
    whole = [word for word in words if len(word) <= width]
    placed = [word for line in lines for word in line.split()]
    assert all(word in placed for word in whole)
