"""What a score is made of: the place, the copy, the end."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freqexp.benchmarks import parts as module
from freqexp.benchmarks.mrcr import chance, grade
from freqexp.benchmarks.parts import copied_turn, derailed, ends_in_repeats, start
from freqexp.nouns.sample import Parts, Sample, Turn

PREFIX = "q7Wz1kT0bN"
POEM = "the tapir walks alone at night beneath the fig trees"
TURNS = (
    Turn("Examples stand here.\n\nwrite a poem about tapirs", "a tapir is a gentle beast of mud"),
    Turn("write a riddle about rain", "what falls all day and never hurts itself?"),
    Turn("write a poem about tapirs", POEM),
    Turn("write a joke about tapirs", "this tapir walks into a bar and orders soup"),
    Turn("write a poem about bears", "over the hill a bear is sleeping late"),
)
SAMPLE = Sample("id", 2, "", TURNS, "?", PREFIX + POEM, PREFIX)


def parts(reply: str, sample: Sample = SAMPLE, prefix: str = PREFIX) -> Parts:
    found = grade(prefix + reply, sample).parts
    assert found is not None
    return found


def test_a_right_answer() -> None:
    assert parts(POEM) == Parts(
        right_place=True,
        place_chance=0.25,
        place_chars=1,
        copied_share=1.0,
        repeats=False,
        wrong_turn=None,
        wrong_needle=None,
    )


def test_a_copy_that_goes_on_and_on_scores_little_and_shows() -> None:
    answer = "the tapir walks a" + "lk a" * 200
    found, scored = parts(answer), grade(PREFIX + answer, SAMPLE)
    assert chance(SAMPLE) is not None
    assert scored.score < 0.1 < (chance(SAMPLE) or 0)
    assert (found.right_place, found.repeats, found.wrong_turn) == (True, True, None)
    assert found.copied_share > 3 * scored.score


def test_without_the_prefix_nobody_knows_where_the_reply_begins() -> None:
    found = parts(POEM, prefix="")
    assert (found.right_place, found.place_chance, found.place_chars) == (None, None, None)
    assert found.copied_share == 1
    assert parts(TURNS[3].assistant, prefix="").wrong_turn == 3


def test_leading_white_space_is_no_wrong_place() -> None:
    assert parts("\n\n the tapir").right_place is True
    assert parts("").right_place is False


@pytest.mark.parametrize(
    ("wanted", "others", "expected"),
    [
        ("the cat", ["a", "b", "c", "d"], (1, 0.0)),
        ("the cat", ["the dog", "b", "c", "d"], (1, 0.25)),
        ("the cat", ["the dog", "toe", "c", "d"], (2, 0.25)),
        ("the cat", [" the dog", "\nthe cow", "c", "d"], (5, 0.25)),
        ("the", ["the dog", "the cow", "the"], (3, 1.0)),
        ("the cat", ["the"], (4, 0.0)),
        ("the cat", [], (1, None)),
    ],
)
def test_the_beginning_that_few_others_share(
    wanted: str, others: list[str], expected: tuple[int, float | None]
) -> None:
    assert start(wanted, others) == expected


@given(wanted=st.text("ab ", min_size=1), others=st.lists(st.text("ab "), min_size=1))
def test_no_shorter_beginning_is_as_rare(wanted: str, others: list[str]) -> None:
    chars, share = start(wanted, others)
    wanted, others = wanted.lstrip(), [other.lstrip() for other in others]

    def shared(length: int) -> float:
        return sum(other.startswith(wanted[:length]) for other in others) / len(others)

    assert share == shared(chars)
    assert chars == len(wanted) or share <= module.SHARED
    assert all(shared(length) > module.SHARED for length in range(1, chars))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("it went " + "a " * 8, True),
        ("e" * 16, True),
        ("e" * 15, False),
        ("the end. " + "so it goes on, " * 4 + "so it", True),
        ("the end. " + "so it goes on, " * 3, False),
        ("so it goes on, " * 9 + "until it ends", False),
        ("x" * 64 + " " * 400, True),
        ("-" * 63 + "+" + ("-" * 63 + "+") * 3, True),
        ("a b c d e f g h i j k", False),
        ("", False),
    ],
)
def test_an_end_in_repeats(text: str, expected: bool) -> None:
    assert ends_in_repeats(text) is expected


@given(
    unit=st.text(min_size=1, max_size=64).filter(lambda unit: bool(unit.strip())),
    times=st.integers(4, 9),
    cut=st.integers(0, 63),
)
def test_any_short_unit_is_found_wherever_it_is_cut(unit: str, times: int, cut: int) -> None:
    text = "some words before " + unit * max(times, 20) + unit[: cut % len(unit)]
    assert ends_in_repeats(text.rstrip())


def test_a_wanted_reply_that_repeats_itself_is_no_derailing() -> None:
    song = "la la la la la la la la la la"
    sample = Sample("id", 2, "", (Turn("sing", song), TURNS[1]), "?", PREFIX + song, PREFIX)
    assert parts(song + " la", sample).repeats is False


def test_derailed_is_more_than_cut_short() -> None:
    fine, looping = parts("the tapir walks"), parts("the " * 9)
    assert not derailed(fine, False, "abc", "abcdef")
    assert derailed(fine, True, "abcdef", "abcdef")
    # A limit too low for any answer says nothing about this one.
    assert not derailed(fine, True, "abcde", "abcdef")
    assert derailed(looping, False, "abc", "abcdef")


@pytest.mark.parametrize(
    ("reply", "turn", "needle"),
    [
        (TURNS[0].assistant, 0, True),
        (TURNS[0].assistant + " and so on and on" * 9, 0, True),
        ("this tapir valks into a barr and order soup", 3, False),
        (TURNS[4].assistant, 4, False),
        (POEM[:30], None, None),
        ("something else altogether, made up", None, None),
        ("", None, None),
    ],
)
def test_another_turn_that_was_copied(reply: str, turn: int | None, needle: bool | None) -> None:
    found = parts(reply)
    assert (found.wrong_turn, found.wrong_needle) == (turn, needle)


def test_the_wanted_turn_wins_when_it_is_as_similar() -> None:
    turns = (Turn("a", "one and the same sentence"), Turn("b", "one end the same sentence"))
    assert copied_turn("one ond the same sentence", turns[0].assistant, turns) is None
    assert copied_turn("one end the same sentence", turns[0].assistant, turns) == 1


def test_a_wanted_reply_that_is_no_turn_has_no_request() -> None:
    sample = Sample("id", 2, "", TURNS[:2], "?", PREFIX + POEM, PREFIX)
    found = parts(TURNS[1].assistant, sample)
    assert (found.wrong_turn, found.wrong_needle) == (1, None)


def test_long_conversations_take_little_time() -> None:
    """A thousand turns of a thousand characters, and an answer of a hundred thousand."""
    words = [f"word{number % 97}of{number % 89}" for number in range(90_000)]
    replies = [" ".join(words[90 * n : 90 * n + 90]) for n in range(1_000)]
    turns = tuple(Turn(f"request {n % 50}", reply) for n, reply in enumerate(replies))
    sample = Sample("id", 2, "", turns, "?", PREFIX + replies[500], PREFIX)
    answer = replies[700] + " again" * 20_000
    before = time.process_time()
    found = module.parts(PREFIX + answer, sample, 0.0)
    # 40 ms; without bounds it is minutes.
    assert time.process_time() - before < 2
    assert (found.wrong_turn, found.wrong_needle, found.repeats) == (700, True, True)
