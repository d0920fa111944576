"""Truncation of text: whole turns, the oldest first."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from freqexp.errors import ConfigError
from freqexp.tokens.truncate import Truncate

TURNS = ("> a b\nc\n", "> d e f\ng h\n", "> i\nj k l m\n")
"""6, 8 and 8 words, marks and ends of lines."""


def words(text: str) -> Tensor:
    found = text.replace("\n", " \n ").split(" ")
    return torch.tensor([sum(map(ord, word)) for word in found if word], dtype=torch.int64)


WHOLE = words("".join(TURNS))


def newest(most: int) -> Tensor:
    return Truncate().newest(TURNS, WHOLE, words, most)


@pytest.mark.parametrize(
    ("most", "turns"), [(100, 3), (len(WHOLE), 3), (len(WHOLE) - 1, 2), (16, 2), (15, 1), (8, 1)]
)
def test_whole_turns_go_and_the_oldest_first(most: int, turns: int) -> None:
    assert torch.equal(newest(most), words("".join(TURNS[-turns:])))


def test_a_turn_longer_than_the_budget_keeps_its_end() -> None:
    assert torch.equal(newest(5), WHOLE[-5:])
    assert torch.equal(newest(1), WHOLE[-1:])


def test_a_keep_ratio_is_of_the_tokens_and_not_of_the_turns() -> None:
    assert len(words("".join(TURNS[1:]))) / len(WHOLE) > 0.6
    kept = Truncate(0.6).newest(TURNS, WHOLE, words)
    assert torch.equal(kept, words(TURNS[2]))


def test_few_texts_are_tokenized() -> None:
    asked: list[str] = []

    def counted(text: str) -> Tensor:
        asked.append(text)
        return words(text)

    turns = [f"> {number}\nyes\n" for number in range(1000)]
    kept = Truncate(0.25).newest(turns, words("".join(turns)), counted)
    assert torch.equal(kept, words("".join(turns[750:])))
    assert len(asked) <= 11


@pytest.mark.parametrize("keep_ratio", [0.0, -1.0, 1.5])
def test_a_share_out_of_range_is_refused(keep_ratio: float) -> None:
    with pytest.raises(ConfigError, match="keep_ratio"):
        Truncate(keep_ratio)
