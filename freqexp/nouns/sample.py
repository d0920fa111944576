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


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a score is made of. The reply is what follows the prefix; where that is missing, the
    whole answer, and where it begins is not known.

    right_place: the reply begins as the wanted one does: with the shortest beginning of it,
        `place_chars` characters, that at most a quarter of the other turns' replies share. Leading
        white space doesn't count. None when the prefix is missing.
    place_chance: share of the other turns' replies that begin so: how often answering with another
        turn is at the right place. None where right_place is, and without another turn.
    copied_share: ratio of the reply, cut at the wanted one's length, and the wanted one: what was
        copied before the reply went on for too long.
    repeats: the reply ends in a short unit again and again, as the wanted one does not.
    wrong_turn: index of the turn that was copied instead of the wanted one; None when none was.
    wrong_needle: that turn answers the same request as the wanted one; None when none was copied.
    """

    right_place: bool | None
    place_chance: float | None
    place_chars: int | None
    copied_share: float
    repeats: bool
    wrong_turn: int | None
    wrong_needle: bool | None


@dataclass(frozen=True)
class Grade:
    """score: the official grade in [0, 1]. prefix_hit: the answer starts with the prefix.
    similarity: the ratio of the texts after the prefix (when the prefix is missing: of the whole
    answer
    against the expected text), so that it says something the zero-inflated score does not.
    chance: mean score of answering with another turn of the same conversation; None without another
    turn. parts: what the score is made of; None from a grader that doesn't take it apart.
    """

    score: float
    prefix_hit: bool
    similarity: float
    chance: float | None
    parts: Parts | None = None
