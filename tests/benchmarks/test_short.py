"""Short conversations."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from freqexp.benchmarks.short import TURNS, question_text, short_sample
from freqexp.benchmarks.text import short_sentences
from freqexp.nouns.sample import Sample


def drawn(needles: int, count: int = 40, split: str = "eval") -> list[Sample]:
    return [short_sample(random.Random(f"short {n}"), needles, split) for n in range(count)]


def asked_request(sample: Sample) -> str:
    return sample.question.split("(1 indexed) ")[1].split(". Do not")[0]


@pytest.mark.parametrize("needles", TURNS)
def test_exactly_so_many_turns_make_the_asked_request(needles: int) -> None:
    for sample in drawn(needles):
        requests = Counter(turn.user for turn in sample.turns)
        assert requests[asked_request(sample)] == needles == sample.needles
        assert len(sample.turns) == TURNS[needles]


@pytest.mark.parametrize("needles", TURNS)
def test_the_answer_is_the_asked_needle(needles: int) -> None:
    seen: Counter[str] = Counter()
    for sample in drawn(needles):
        matching = [t.assistant for t in sample.turns if t.user == asked_request(sample)]
        ordinal = sample.question.split(" to the ")[1].split(" (1 indexed)")[0]
        seen[ordinal] += 1
        assert sample.answer == sample.prefix + matching[int(ordinal[0]) - 1]
    assert len(seen) == needles


def test_replies_are_distinct_sentences_of_the_split() -> None:
    for split in ("train", "eval"):
        known = set(short_sentences(split))
        for sample in drawn(4, 10, split):
            replies = [turn.assistant for turn in sample.turns]
            assert len(set(replies)) == len(replies)
            assert known.issuperset(replies)


def test_some_distractors_share_the_kind_or_the_topic() -> None:
    near = far = 0
    for sample in drawn(2):
        kind, topic = asked_request(sample).split(" about ")
        for turn in sample.turns:
            if turn.user != asked_request(sample):
                shares = set(turn.user.split(" about ")) & {kind, topic}
                near, far = near + bool(shares), far + (not shares)
    assert near > 20
    assert far > 20


def test_same_seed_same_sample() -> None:
    assert drawn(2, 3) == drawn(2, 3)
    assert len({sample.prefix for sample in drawn(2)}) == 40


def test_turns_can_be_chosen_but_must_hold_the_needles() -> None:
    assert len(short_sample(random.Random(0), 2, "eval", turns=9).turns) == 9
    assert len(short_sample(random.Random(0), 4, "eval", turns=4).turns) == 4
    with pytest.raises(ValueError, match="turns: got 3, allowed: at least the 4 needles"):
        short_sample(random.Random(0), 4, "eval", turns=3)


def test_question_has_the_official_wording() -> None:
    assert question_text("Xy12", 2, "poem about tapirs") == (
        "Prepend Xy12 to the 2nd (1 indexed) poem about tapirs. "
        "Do not include any other text in your response."
    )
