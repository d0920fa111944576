"""How far it is: held-out conversations, with and without the compressor."""

from __future__ import annotations

from collections.abc import Sequence

from freqexp.train.adapt.lessons import HELD, Lesson, Shape, draw
from freqexp.train.adapt.losses import answers
from freqexp.train.adapt.student import Student


class Validation:
    """The same held-out conversations every time."""

    def __init__(self, student: Student, shapes: Sequence[Shape]) -> None:
        config = student.config
        self._student = student
        self._lessons: list[list[Lesson]] = []
        for number, shape in enumerate(shapes):
            seed = f"held:{number}"
            drawn = draw(shape, config.held, config.questions, seed, HELD)
            size = config.per_pass
            self._lessons += [drawn[at : at + size] for at in range(0, len(drawn), size)]

    def figures(self) -> dict[str, float]:
        """Cross-entropy of the answers in nats a token, share of tokens that came first and of
        answers right to the letter, as `held_answer`, `held_right`, `held_exact` with the
        compressor and `whole_*` without it; `kept`, the share of tokens that stayed.

        The tokens of an answer are given, so `exact` is what greedy decoding gets to the letter.
        """
        student, found = self._student, dict[str, list[float]]()
        compressed = (True, False) if student.compresses else (False,)
        with student.resting():
            for lessons in self._lessons:
                read = student.read(lessons)
                for short in compressed:
                    taught = student.teach(read.short if short else read.full, states=False)
                    for name, value in answers(taught).items():
                        key = f"{'held' if short else 'whole'}_{name}"
                        found.setdefault(key, []).append(value)
                found.setdefault("kept", []).append(read.after / read.before)
        return {name: sum(values) / len(values) for name, values in found.items()}

    def value(self, figures: dict[str, float]) -> float:
        """What the best checkpoint has least of: cross-entropy, weighted as in training."""
        share = self._student.config.uncompressed if self._student.compresses else 1.0
        held = figures.get("held_answer", 0.0)
        return (1 - share) * held + share * figures["whole_answer"]
