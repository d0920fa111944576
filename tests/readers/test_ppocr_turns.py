"""Locating a turn in what was read, however damaged."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from freqexp.errors import UserError
from freqexp.readers.recogniser.text import Line
from freqexp.readers.recogniser.turns import SURE, Wanted, find_reply, mark_length, parse_question

GLYPH = ("User: ", "Assistant: ")
CELLS = ("> ", "")
WIDTH = 300


def line(text: str, doubtful: str = "", start: int = 0) -> Line:
    """A line as if read; the characters in `doubtful` were not read surely."""
    columns = tuple(range(start, start + 3 * len(text), 3))
    sure = tuple(SURE - 0.1 if c in doubtful else 1.0 for c in text)
    return Line(text, columns, sure, WIDTH, WIDTH)


def lines(texts: Sequence[str], doubtful: str = "") -> list[Line]:
    return [line(text, doubtful) for text in texts]


CONVERSATION = [
    "User: write a poem about tapirs",
    "Assistant: First.",
    "User: write a song about tapirs",
    "Assistant: A song.",
    "User: write a poem about tapirs",
    "Assistant: Second,",
    "in two lines.",
    "User: write a poem about otters",
    "Assistant: Other.",
]


def test_a_question_has_three_parts() -> None:
    question = (
        "Prepend aYooSG8CQg to the 2nd (1 indexed) social media post about tapirs. "
        "Do not include any other text in your response."
    )
    assert parse_question(question) == Wanted("aYooSG8CQg", 2, "social media post about tapirs")
    with pytest.raises(UserError, match=r"^question: got 'What is this\?', allowed: MRCR's"):
        parse_question("What is this?")


@pytest.mark.parametrize(
    ("ordinal", "reply"), [(1, "First."), (2, "Second, in two lines."), (3, None)]
)
def test_the_nth_turn_is_found(ordinal: int, reply: str | None) -> None:
    found = find_reply(lines(CONVERSATION), Wanted("x", ordinal, "poem about tapirs"), GLYPH)
    assert (found and found.replace("\n", " ")) == reply


@pytest.mark.parametrize(
    ("asked", "doubtful"),
    [
        ("Us3r: wrlte a poem ab0ut tapirs", "3"),
        ("User write a poem about tapirs", ""),
        ("Uzer; write a poern about tapirs", "z;rn"),
        ("er: write apoemabout tapirs", ""),
        ("write a poem about taplrs", ""),
        ("USER: WRITE A POEM ABOUT TAPIRS", ""),
        ("Üser: write a pöem about täpirs", ""),
    ],
)
def test_damaged_requests_are_found(asked: str, doubtful: str) -> None:
    damaged = [asked, *CONVERSATION[1:]]
    read = [line(asked, doubtful), *lines(damaged[1:])]
    assert find_reply(read, Wanted("x", 1, "poem about tapirs"), GLYPH) == "First."


@pytest.mark.parametrize(
    ("mark", "doubtful"),
    [("Assistant; ", ";"), ("Ass1stant: ", ""), ("Assistan ", ""), ("Ass stant:", ""), ("", "")],
)
def test_a_damaged_mark_of_a_reply_is_left_out(mark: str, doubtful: str) -> None:
    read = [line(CONVERSATION[0]), line(f"{mark}First.", doubtful), *lines(CONVERSATION[2:])]
    assert find_reply(read, Wanted("x", 1, "poem about tapirs"), GLYPH) == "First."


@pytest.mark.parametrize("mark", ["Usr: ", "User; ", "U er: ", "", "#?!: "])
def test_a_reply_ends_where_the_next_turn_begins_however_damaged(mark: str) -> None:
    """The mark of the reply on the next line tells, too."""
    read = [
        *lines(CONVERSATION[:2]),
        line(f"{mark}write a song about tapirs", ";#?!"),
        *lines(CONVERSATION[3:]),
    ]
    assert find_reply(read, Wanted("x", 1, "poem about tapirs"), GLYPH) == "First."


def test_a_letter_that_was_surely_read_makes_another_request() -> None:
    read = ["> poem about goats", "no", "> poem about boats", "yes"]
    assert find_reply(lines(read), Wanted("x", 1, "poem about boats"), CELLS) == "yes"
    assert find_reply(lines(read, "g"), Wanted("x", 1, "poem about boats"), CELLS) == "no"


def test_a_title_that_says_the_request_is_no_turn() -> None:
    read = [CONVERSATION[0], "Assistant: Poem about tapirs", "Poem about tapirs", *CONVERSATION[2:]]
    wanted = Wanted("x", 2, "poem about tapirs")
    found = find_reply(lines(read), wanted, GLYPH)
    assert found is not None
    assert found.startswith("Second,")


def test_a_request_may_be_wrapped() -> None:
    read = [
        "User: write a social media post",
        "about otters and other animals",
        "Assistant: Yes.",
        "User: write a poem about otters",
        "Assistant: No.",
    ]
    wanted = Wanted("x", 1, "social media post about otters and other animals")
    assert find_reply(lines(read), wanted, GLYPH) == "Yes."


def test_a_reply_may_be_last_or_missing() -> None:
    assert find_reply(lines(["> a b c d", "yes"]), Wanted("x", 1, "a b c d"), CELLS) == "yes"
    assert find_reply(lines(["> a b c d"]), Wanted("x", 1, "a b c d"), CELLS) == ""
    assert find_reply([], Wanted("x", 1, "a b c d"), CELLS) is None


def test_a_lost_mark_of_one_character_leaves_its_room() -> None:
    assert mark_length(line("poem about", start=6), "> ") == 0
    assert mark_length(line("poem about", start=3), "> ") is None
    assert mark_length(line("》poem"), "> ") == 1
    read = [line("> a song"), line("la"), line("a poem", start=6), line("no")]
    assert find_reply(read, Wanted("x", 1, "song"), CELLS) is None
    assert find_reply(read, Wanted("x", 1, "a song"), CELLS) == "la"


@pytest.mark.parametrize(
    ("text", "length"),
    [("User: hi", 5), ("User hi", 4), ("Use the lamp", None), ("The User: x", None), ("", None)],
)
def test_a_mark_stands_at_the_start(text: str, length: int | None) -> None:
    assert mark_length(line(text), "User: ") == length
