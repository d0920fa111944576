"""ConvBench's workbook, its page, and recall of words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freqexp.benchmarks.convbench import (
    SHEET,
    estimated_text_tokens,
    estimated_vision_tokens,
    load_convbench,
    render_conversation,
    word_recall,
    words,
)
from freqexp.errors import UserError
from freqexp.nouns.sample import Turn

# As in the published file, whose columns differ in case.
COLUMNS = (
    "ID",
    "instruction_category",
    "The_first_turn_instruction",
    "first_turn_answer",
    "The_second_turn_instruction",
    "second_turn_answer",
    "The_third_turn_instruction",
    "third_turn_answer",
)
WHOLE = (7, "Slogans", "What is it?", "A car.", "Why?", "It has wheels.", "A slogan!", "Drive on.")


def workbook(path: Path, rows: Sequence[Sequence[object]], sheet: str = SHEET) -> Path:
    book = openpyxl.Workbook()
    assert book.active is not None
    book.active.title = sheet
    for row in rows:
        book.active.append(list(row))
    book.save(path)
    return path


def test_whole_conversations_are_read_and_others_left_out(tmp_path: Path) -> None:
    torn = (8, "Slogans", "What is it?", None, "Why?", "Because.", "And?", "So.")
    last = (9, *WHOLE[1:])
    path = workbook(tmp_path / "c.xlsx", [COLUMNS, WHOLE, torn, (None,) * 8, last])
    first, second = load_convbench(path)
    assert (first.conversation_id, second.conversation_id) == ("7", "9")
    assert first.turns == (
        Turn("What is it?", "A car."),
        Turn("Why?", "It has wheels."),
        Turn("A slogan!", "Drive on."),
    )
    assert first.text.splitlines()[:2] == ["User: What is it?", "Assistant: A car."]
    assert len(load_convbench(path, limit=1)) == 1


@pytest.mark.parametrize(
    ("rows", "sheet", "said"),
    [
        ([COLUMNS, WHOLE], "Sheet1", "no sheet multi_turn_benchmark; it has Sheet1"),
        ([COLUMNS[:-1], WHOLE], SHEET, "lacks the columns third_turn_answer"),
        ([COLUMNS], SHEET, "holds no whole conversation"),
    ],
)
def test_another_workbook_is_refused(
    rows: Sequence[Sequence[object]], sheet: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=said):
        load_convbench(workbook(tmp_path / "c.xlsx", rows, sheet))


@pytest.mark.parametrize("content", [None, b"no workbook"])
def test_what_is_no_workbook_is_refused(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "c.xlsx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match="--xlsx"):
        load_convbench(path)


def test_a_page_is_as_wide_as_milestone_1s_and_as_high_as_its_lines() -> None:
    one = render_conversation([Turn("hello", "world")])
    two = render_conversation([Turn("hello", "world\nagain")])
    assert one.text == "User: hello\nAssistant: world"
    assert one.pixels.dtype == np.uint8
    assert one.pixels.shape[1] == two.pixels.shape[1] == 1024
    line = two.pixels.shape[0] - one.pixels.shape[0]
    # 18 px type is a little higher than 18 px, and 12 px stand between lines.
    assert 18 + 12 <= line <= 24 + 12
    assert one.pixels.shape[0] == 2 * 20 + 2 * line
    inked = np.argwhere(one.pixels < 250)
    assert inked[:, 1].min() >= 20
    assert inked[:, 0].min() >= 20


def test_long_lines_stay_within_the_margins() -> None:
    page = render_conversation([Turn("word " * 60, "x" * 300)])
    assert page.pixels[:, -20:].min() == 255
    assert page.text.replace("\n", "").count("x") == 300


@pytest.mark.parametrize(
    ("text", "transcript", "recall"),
    [
        ("One fish, two fish.", "two FISH one", 1.0),
        ("one two three four", "four, and one!", 0.5),
        ("don't stop", "don't", 0.5),
        ("some words", "", 0.0),
        ("... !", "words", None),
    ],
)
def test_recall_is_of_distinct_words(text: str, transcript: str, recall: float | None) -> None:
    assert word_recall(text, transcript) == recall


@given(st.text(), st.text())
def test_recall_is_a_share_and_more_text_never_lowers_it(text: str, transcript: str) -> None:
    recall = word_recall(text, transcript)
    if recall is None:
        assert not words(text)
        return
    assert 0 <= recall <= 1
    assert word_recall(text, text) == 1
    assert word_recall(text, f"{transcript} more") >= recall  # type: ignore[operator]


def test_estimates_are_milestone_1s() -> None:
    assert estimated_text_tokens("four words are here") == pytest.approx(5.2)
    assert estimated_vision_tokens(1063, 1024) == 75 * 73
