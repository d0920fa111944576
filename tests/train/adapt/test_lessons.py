"""What is drawn to be taught."""

from __future__ import annotations

from dataclasses import replace

import pytest

from freqexp.benchmarks.generate import generate
from freqexp.benchmarks.mrcr import grade
from freqexp.benchmarks.text import in_split, sentences_in, short_sentences
from freqexp.errors import UserError
from freqexp.nouns.sample import Sample
from freqexp.train.adapt.lessons import HELD, Lesson, Shape, draw, refuse_evaluation_text

SHORT = Shape(4, 8, "short")


def as_samples(lesson: Lesson) -> list[Sample]:
    """Each question as a sample of its own, for the grader."""
    return [
        Sample("", 4, "", lesson.turns, question, answer, answer[:10])
        for question, answer in lesson.questions
    ]


def test_a_draw_follows_from_its_seed_alone() -> None:
    assert draw(SHORT, 3, 5, "0:7") == draw(SHORT, 3, 5, "0:7")
    assert draw(SHORT, 3, 5, "0:7") != draw(SHORT, 3, 5, "0:8")
    assert draw(SHORT, 2, 5, "0:7") == draw(SHORT, 3, 5, "0:7")[:2]


@pytest.mark.parametrize("shape", [SHORT, Shape(2, None, "long", 4000)])
def test_every_question_is_right_by_the_grader_and_by_counting(shape: Shape) -> None:
    for lesson in draw(shape, 4, 5, "a"):
        assert 2 <= len(lesson.questions) <= 5
        replies = set()
        for sample in as_samples(lesson):
            assert grade(sample.answer, sample).score == 1
            ordinal = int(sample.question.split(" to the ")[1][0])
            request = sample.question.split(" (1 indexed) ")[1].split(". Do not")[0]
            same = [turn for turn in lesson.turns if turn.user.removeprefix("write a ") == request]
            assert sample.answer == sample.prefix + same[ordinal - 1].assistant
            replies.add(sample.answer[10:])
        assert len(replies) == len(lesson.questions)


def test_half_of_the_other_questions_are_about_repeated_requests() -> None:
    for lesson in draw(SHORT, 8, 5, "b"):
        users = [turn.user for turn in lesson.turns]
        asked = [q.split(" (1 indexed) ")[1].split(". Do not")[0] for q, _ in lesson.questions]
        assert sum(users.count(request) > 1 for request in asked) >= 3


@pytest.mark.parametrize("shape", [SHORT, Shape(2, None, "long", 3000)])
@pytest.mark.parametrize("split", ["fit", HELD])
def test_sentences_are_of_the_split_asked_for(shape: Shape, split: str) -> None:
    texts = [turn.assistant for lesson in draw(shape, 6, 1, "c", split) for turn in lesson.turns]
    found = [each for text in texts for each in sentences_in(text)]
    # Sentences that end in neither mark nor letter are joined to the next one.
    right = sum(in_split(each, split) for each in found)
    assert right >= (len(found) if shape.form == "short" else 0.9 * len(found))


def test_random_letters_come_as_often_as_asked() -> None:
    lessons = draw(SHORT, 60, 1, "d", random_text=0.5)
    known = set(short_sentences("train"))
    english = sum(all(turn.assistant in known for turn in lesson.turns) for lesson in lessons)
    assert 15 < english < 45


def test_evaluation_text_is_refused() -> None:
    (sample,) = generate(2, 1, 0, "short")
    with pytest.raises(UserError, match="scores come from"):
        refuse_evaluation_text(sample)
    (trained,) = generate(2, 1, 0, "short", split="train")
    refuse_evaluation_text(trained)
    # Whatever stands around it.
    hidden = f"{trained.turns[0].assistant} {sample.turns[0].assistant.upper()}"
    turns = (replace(trained.turns[0], assistant=hidden), *trained.turns[1:])
    with pytest.raises(UserError):
        refuse_evaluation_text(replace(trained, turns=turns))
