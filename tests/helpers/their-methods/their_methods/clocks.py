"""A benchmark: conversations about clocks, as many as asked for."""

from __future__ import annotations

from typing import Any

from freqexp.nouns.sample import Grade, Sample, Turn


def load(needles: Any, samples: int, seed: int) -> list[Sample]:
    """Sample i asks for one of `needles.count` times of a clock."""
    return [_sample(seed + number, needles.count) for number in range(samples)]


def _sample(number: int, count: int) -> Sample:
    turns = tuple(Turn("the time", f"{number % 12 + 1}:{10 + place}") for place in range(count))
    wanted = turns[number % count].assistant
    question = f"Prepend {number:04d} to time {number % count + 1}."
    return Sample(
        f"clock-{number}", count, "", turns, question, f"{number:04d}{wanted}", f"{number:04d}"
    )


def grade(answer: str, sample: Sample) -> Grade:
    """Half for the hour, half for the minutes."""
    said, wanted = (text[4:].partition(":") for text in (answer, sample.answer))
    right = [said[place] == wanted[place] for place in (0, 2)]
    hit = answer.startswith(sample.prefix or "")
    return Grade(sum(right) / 2 if hit else 0.0, hit, sum(right) / 2, chance=None)
