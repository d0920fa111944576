"""What a reader is taught: answers to questions about pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from freqexp.nouns.vision import CompressedTokens

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Exercise:
    """A sample's pages as the decoder sees them, and questions about them with their answers.

    No question sees another one or its answer. text: int64 [n], the conversation's tokens in place
    of pages; `vision` is empty then.
    """

    vision: Sequence[CompressedTokens]
    questions: Sequence[tuple[str, str]]
    text: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Taught:
    """One pass over exercises with the answers given (teacher forcing), with gradients to whatever
    asks for them. The batch has one sequence for each exercise, or one for each question where a
    reader can't hide one from another.

    logits: [answer tokens, vocabulary], of all exercises, their questions and the tokens of each
        answer, its end token included, in turn.
    labels: int64 [answer tokens], the tokens that were to come.
    firsts: int64 [questions], where in `labels` each answer begins.
    places: int64 [batch, length], where each token stands in the sequence that the same exercise
        has with every vision token; -1: padding.
    vision: bool [batch, length], tokens that pages are made of, or the conversation's text.
    states: after each decoder layer [batch, length, channels], as the next one sees it and before
        the last norm; () unless asked for.
    """

    logits: Tensor
    labels: Tensor
    firsts: Tensor
    places: Tensor
    vision: Tensor
    states: tuple[Tensor, ...] = ()
