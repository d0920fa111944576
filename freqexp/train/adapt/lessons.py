"""What is drawn for each step: conversations of the train split, several questions of each."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from freqexp.benchmarks.generate import generate
from freqexp.benchmarks.short import ORDINALS, draw_prefix, question_text
from freqexp.benchmarks.text import is_evaluation, sentences_in
from freqexp.errors import UserError
from freqexp.nouns.sample import Sample, Turn

FIT, HELD = "fit", "held"
_WRITE = "write a "


@dataclass(frozen=True)
class Shape:
    """Conversations of one shape, see `benchmarks.generate.generate`."""

    needles: int
    turns: int | None
    form: str
    target_chars: int | None = None


@dataclass(frozen=True)
class Lesson:
    """A conversation and questions about its turns with their answers."""

    turns: tuple[Turn, ...]
    questions: tuple[tuple[str, str], ...]


def draw(
    shape: Shape,
    count: int,
    questions: int,
    seed: str,
    split: str = FIT,
    random_text: float = 0.0,
) -> list[Lesson]:
    """`count` lessons: a function of the arguments alone, so that nothing has to be remembered
    between steps.

    random_text: share of the conversations whose replies are random letters.
    Raises UserError if a sentence is one that scores come from.
    """
    rng = random.Random(f"adapt:{split}:{seed}")
    lessons = []
    for _ in range(count):
        text = "random" if rng.random() < random_text else "english"
        (sample,) = generate(
            count=shape.needles,
            samples=1,
            seed=rng.getrandbits(62),
            form=shape.form,
            turns=shape.turns,
            target_chars=shape.target_chars,
            split=split,
            text=text,
        )
        if text == "english":
            refuse_evaluation_text(sample)
        lessons.append(Lesson(sample.turns, tuple(_questions(rng, sample, questions))))
    return lessons


def refuse_evaluation_text(sample: Sample) -> None:
    """Raises UserError for a conversation with a sentence of the split that scores come from."""
    for turn in sample.turns:
        for sentence in sentences_in(turn.assistant):
            if is_evaluation(sentence):
                raise UserError(
                    f"training data: {sentence[:60]!r} is text that scores come from; only the "
                    "generated train split is taught"
                )


def _questions(rng: random.Random, sample: Sample, count: int) -> Iterator[tuple[str, str]]:
    """The sample's own question, and one about each of `count` - 1 other turns or fewer: half of
    them about requests that were made several times.
    """
    yield sample.question, sample.answer
    seen: Counter[str] = Counter()
    own, others = sample.answer.removeprefix(sample.prefix), []
    for turn in sample.turns:
        seen[turn.user] += 1
        if turn.assistant != own and seen[turn.user] <= len(ORDINALS):
            others.append((turn, seen[turn.user]))
    repeated = [asked for asked in others if seen[asked[0].user] > 1]
    single = [asked for asked in others if seen[asked[0].user] == 1]
    rng.shuffle(repeated)
    rng.shuffle(single)
    chosen = repeated[: (count - 1) // 2]
    rest = [*single, *repeated[(count - 1) // 2 :]]
    chosen += rest[: count - 1 - len(chosen)]
    for turn, ordinal in chosen:
        prefix = draw_prefix(rng)
        yield (
            question_text(prefix, ordinal, turn.user.removeprefix(_WRITE)),
            prefix + turn.assistant,
        )
