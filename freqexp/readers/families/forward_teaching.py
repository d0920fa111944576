"""Teacher forcing through a model's `forward` alone, for models that take no mask of two axes: each
question is a sequence of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from freqexp.errors import UserError
from freqexp.nouns.teaching import Exercise, Taught
from freqexp.nouns.vision import CompressedTokens
from freqexp.readers.base import Request
from freqexp.readers.decoding import answer_ids, beginnings
from freqexp.readers.families.forward_decoding import Row, features_as_words, pad_left


class _Asked(Protocol):
    """What of a reader is needed here, see `Glm4vRemoteReader`."""

    model: Any
    tokenizer: Any
    ends: Tensor
    context: int

    def prompt(self, request: Request) -> Row: ...


@dataclass(frozen=True, eq=False)
class _Told:
    """A prompt with its answer but the end.

    labels: int64 [answer tokens], its end among them.
    places: int64 [length], see `Taught`.
    """

    row: Row
    labels: Tensor
    places: Tensor


def teach(reader: _Asked, exercises: Sequence[Exercise]) -> Taught:
    """One pass over all questions of all exercises, padded on the left: one sequence a question.

    Raises UserError for what is no exercise, and what `prompt` raises.
    """
    if not exercises:
        raise UserError("exercises: got none, allowed: at least one")
    told: list[_Told] = []
    for number, exercise in enumerate(exercises, start=1):
        try:
            told += _questions(reader, exercise)
        except UserError as error:
            raise UserError(f"exercise {number}: {error}") from error
    rows = [one.row for one in told]
    ids = pad_left([row.ids for row in rows])
    lengths = [len(row.ids) for row in rows]
    with features_as_words(reader.model.get_input_embeddings(), rows, lengths):
        output = reader.model(
            input_ids=ids,
            position_ids=pad_left([row.positions for row in rows]),
            attention_mask=pad_left([torch.ones_like(row.ids) for row in rows], fill=0),
            use_cache=False,
            return_dict=True,
        )
    labels = [one.labels for one in told]
    answers = zip(output.logits, labels, strict=True)
    return Taught(
        torch.cat([logits[-len(own) :] for logits, own in answers]),
        torch.cat(labels),
        beginnings(labels).to(ids.device),
        pad_left([one.places for one in told], fill=-1),
        pad_left([row.vision for row in rows], fill=0),
    )


def _questions(reader: _Asked, exercise: Exercise) -> Iterator[_Told]:
    if not exercise.questions:
        raise UserError("got no questions, allowed: at least one")
    for question, answer in exercise.questions:
        row = reader.prompt(Request(question, exercise.vision, text=exercise.text))
        labels = answer_ids(reader.tokenizer, answer, int(reader.ends[0])).to(row.ids)
        if len(row.ids) + len(labels) > reader.context:
            raise UserError(
                f"needs {len(row.ids)} prompt and {len(labels)} answer tokens, allowed: at most "
                f"{reader.context} in all (the model's context)"
            )
        new = labels[:-1]
        whole = replace(
            row,
            ids=torch.cat([row.ids, new]),
            positions=_longer(row.positions, len(new)),
            vision=torch.cat([row.vision, torch.zeros_like(new, dtype=torch.bool)]),
        )
        yield _Told(whole, labels, _longer(_places(row, exercise.vision), len(new)))


def _places(row: Row, pages: Sequence[CompressedTokens]) -> Tensor:
    """Where a prompt's tokens stand in that with every token of its page, if it has one."""
    places = torch.arange(len(row.ids), device=row.ids.device)
    if not pages:
        return places
    (page,) = pages
    rows, columns = page.grid
    places[row.inside.stop - 1 :] += rows * columns - len(page.kept)
    places[row.vision] = row.inside.start + 1 + page.kept.to(places.device)
    return places


def _longer(places: Tensor, more: int) -> Tensor:
    """Places [length], and the `more` after the last one."""
    return torch.cat([places, places[-1] + torch.arange(1, more + 1, device=places.device)])
