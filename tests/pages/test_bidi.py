"""Text in both directions stands in the order that Unicode gives it (UAX #9)."""

from __future__ import annotations

import pytest

from freqexp.pages.bidi import levels_of, visual_order

# Capital letters stand for Hebrew, as in UAX #9's own examples; ^ for an Arabic letter.
HEBREW = {chr(ord("A") + n): chr(0x5D0 + n) for n in range(26)} | {"^": "\u0628"}


def levels(text: str) -> str:
    return "".join(map(str, levels_of("".join(HEBREW.get(c, c) for c in text))))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", ""),
        ("car is", "000000"),
        ("car CAR", "0000111"),
        ("car CAR DEN car", "000011111110000"),
        ("CAR car", "1111222"),
        ("CAR 123", "1111222"),
        ("car CAR 12 DEN", "00001111221111"),
        ("CAR 1.2, 3", "1111222112"),
        ("CAR $5", "111122"),
        ("CAR 5-6", "1111222"),
        ("^ 5-6", "11212"),
        ("^ 5,6", "11222"),
        ("a (B) c", "0001000"),
        ("a (b C) d", "000001000"),
        ("A (b c) D", "111222111"),
        ("A (B) c", "1111112"),
        ("A!", "11"),
        ("a B!", "0010"),
        ("1 + 1", "00000"),
        ("A\u05b0b", "112"),
        ("A\u200f!b", "1112"),
        ("a (B", "0001"),
        ("a B) c]", "0010000"),
    ],
)
def test_levels(text: str, wanted: str) -> None:
    assert levels(text) == wanted


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ([], []),
        ([0, 0, 0], [0, 1, 2]),
        ([1, 1, 1], [2, 1, 0]),
        ([0, 1, 1, 0], [0, 2, 1, 3]),
        ([1, 2, 2, 1], [3, 1, 2, 0]),
        ([0, 1, 2, 1, 0, 1], [0, 3, 2, 1, 4, 5]),
        ([2, 2, 1], [2, 0, 1]),
    ],
)
def test_pieces_are_turned_round_from_the_highest_level(
    given: list[int], wanted: list[int]
) -> None:
    assert visual_order(given) == wanted
