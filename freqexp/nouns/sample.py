"""What every benchmark shares."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Turn:
    """One user message and the assistant's reply to it."""

    user: str
    assistant: str


@dataclass(frozen=True)
class Sample:
    """One retrieval question over a conversation.

    sample_id: unique within a data set and stable between runs.
    needles: how many turns answer the same request.
    bucket: length bucket, e.g. "4096-8192"; "" when the sample falls in none.
    turns: the conversation that is rendered on pages.
    question: the last user message, given to the model as text.
    answer: the expected answer, prefix included.
    prefix: the random string the answer must start with.
    """

    sample_id: str
    needles: int
    bucket: str
    turns: tuple[Turn, ...]
    question: str
    answer: str
    prefix: str

    @property
    def characters(self) -> int:
        """Length of the conversation and the question, which pages and prompt follow."""
        turns = sum(len(turn.user) + len(turn.assistant) for turn in self.turns)
        return turns + len(self.question)


@dataclass(frozen=True)
class Grade:
    """score: the official grade in [0, 1]. prefix_hit: the answer starts with the prefix.
    similarity: the ratio of the texts after the prefix (when the prefix is missing: of the whole
    answer
    against the expected text), so that it says something the zero-inflated score does not.
    chance: mean score of answering with another turn of the same conversation; None without another
    turn.
    """

    score: float
    prefix_hit: bool
    similarity: float
    chance: float | None
