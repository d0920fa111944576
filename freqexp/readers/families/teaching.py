"""Teacher forcing in a transformers decoder: answers are given, and gradients are kept.

The questions of an exercise follow its pages in one sequence. Each sees the pages and itself, at
the positions it would have alone, so its logits are those of a sequence without the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from freqexp.errors import UserError, fault
from freqexp.nouns.teaching import Exercise, Taught
from freqexp.nouns.vision import CompressedTokens
from freqexp.readers.base import Request
from freqexp.readers.decoding import Prompt, answer_ids, beginnings, end_token

_PAGES, _PADDING = 0, -1


class _Asked(Protocol):
    """What of a reader is needed here, see `HfReader`."""

    model: Any
    tokenizer: Any
    image_id: int
    context: int

    @property
    def text_model(self) -> Any: ...

    def prompt(self, request: Request) -> Prompt: ...

    def position_ids(self, positions: Tensor) -> Tensor: ...

    def encoder_output(self, vision: Sequence[CompressedTokens]) -> Any: ...


@dataclass(frozen=True, eq=False)
class _Lesson:
    """One exercise as a sequence.

    ids, places: int64 [length]. positions: [axes, length]. vision: see `Prompt`.
    block: int64 [length], 0 for the pages and n for the n-th question with its answer.
    at: int64 [answer tokens], where each token of the answers is to be told.
    labels: of each question, the tokens of its answer.
    """

    ids: Tensor
    positions: Tensor
    places: Tensor
    block: Tensor
    vision: Tensor
    at: Tensor
    labels: list[Tensor]


def teach(
    reader: _Asked, exercises: Sequence[Exercise], ends: Sequence[int], states: bool
) -> Taught:
    """One pass over exercises, padded on the right. States are those that the next layer sees.

    ends: tokens at which generation stops.
    Raises UserError for what is no exercise, for attention that takes no mask of its own, and what
    `prompt` raises.
    """
    how = str(reader.text_model.config._attn_implementation)
    if how.startswith("flash"):
        raise UserError(fault("model.attention", how, "sdpa, eager to teach a reader"))
    if not exercises:
        raise UserError("exercises: got none, allowed: at least one")
    end = end_token(reader.tokenizer, ends)
    lessons = []
    for number, exercise in enumerate(exercises, start=1):
        try:
            lessons.append(_lesson(reader, exercise, end))
        except UserError as error:
            raise UserError(f"exercise {number}: {error}") from error
    ids = _padded([lesson.ids for lesson in lessons], None)
    places = _padded([lesson.places for lesson in lessons], -1)
    positions = torch.stack(
        [
            _padded(list(axis), 0)
            for axis in zip(*(lesson.positions for lesson in lessons), strict=True)
        ]
    )
    block = _padded([lesson.block for lesson in lessons], _PADDING)
    pages = [page for exercise in exercises for page in exercise.vision]
    images = {"mm_encoder_outputs": {"image": reader.encoder_output(pages)}} if pages else {}
    with _layer_outputs(reader.text_model, states) as seen:
        output = reader.model.model(
            input_ids=ids,
            attention_mask=_mask(block, reader.model.dtype),
            position_ids=reader.position_ids(positions),
            **images,
            use_cache=False,
            return_dict=True,
        )
    hidden = output.last_hidden_state
    answers = [row[lesson.at] for row, lesson in zip(hidden, lessons, strict=True)]
    logits = reader.model.get_output_embeddings()(torch.cat(answers))
    labels = [own for lesson in lessons for own in lesson.labels]
    vision = torch.zeros_like(ids, dtype=torch.bool)
    for row, lesson in zip(vision, lessons, strict=True):
        row[lesson.vision] = True
    return Taught(
        logits,
        torch.cat(labels).to(logits.device),
        beginnings(labels).to(logits.device),
        places,
        vision,
        tuple(seen),
    )


def _lesson(reader: _Asked, exercise: Exercise, end: int) -> _Lesson:
    if not exercise.questions:
        raise UserError("got no questions, allowed: at least one")
    prompts = [
        reader.prompt(Request(asked, exercise.vision, text=exercise.text))
        for asked, _ in exercise.questions
    ]
    pages, cut = prompts[0], prompts[0].end
    ids, positions = [pages.ids[:cut]], [pages.positions[:, :cut]]
    places, block = [pages.places[:cut]], [torch.full_like(pages.ids[:cut], _PAGES)]
    at, labels, length, before = [], [], cut, 0
    for number, (prompt, (_, answer)) in enumerate(
        zip(prompts, exercise.questions, strict=True), start=1
    ):
        if not torch.equal(prompt.ids[:cut], pages.ids[:cut]):
            raise UserError("model.path: its chat template puts questions before pages")
        told = answer_ids(reader.tokenizer, answer, end).to(prompt.ids)
        _check(reader, prompt, told)
        steps = torch.arange(1, len(told), device=told.device)
        own = torch.cat([prompt.ids[cut:], told[:-1]])
        ids.append(own)
        positions += [prompt.positions[:, cut:], prompt.positions[:, -1:] + steps]
        places.append(torch.cat([prompt.places[cut:], prompt.places[-1] + steps]) + before)
        block.append(torch.full_like(own, number))
        length, before = length + len(own), before + len(own)
        at.append(torch.arange(length - len(told), length, device=told.device))
        labels.append(told)
    return _Lesson(
        torch.cat(ids),
        torch.cat(positions, dim=1),
        torch.cat(places),
        torch.cat(block),
        pages.vision,
        torch.cat(at),
        labels,
    )


def _check(reader: _Asked, prompt: Prompt, told: Tensor) -> None:
    if bool((told == reader.image_id).any()):
        placeholder = reader.tokenizer.convert_ids_to_tokens(reader.image_id)
        raise UserError(f"answer: must not contain {placeholder!r}")
    if len(prompt.ids) + len(told) > reader.context:
        raise UserError(
            f"needs {len(prompt.ids)} prompt and {len(told)} answer tokens, allowed: at most "
            f"{reader.context} in all (the model's context)"
        )


def _padded(rows: Sequence[Tensor], fill: int | None) -> Tensor:
    """Rows [length] of different lengths as [batch, longest]; fill None: each with its last."""
    longest = max(len(row) for row in rows)
    padded = []
    for row in rows:
        padding = row[-1:] if fill is None else torch.full_like(row[-1:], fill)
        padded.append(torch.cat([row, padding.expand(longest - len(row))]))
    return torch.stack(padded)


def _mask(block: Tensor, dtype: torch.dtype) -> Tensor:
    """Additive mask [batch, 1, length, length]: a token sees the pages and its own block up to
    itself. Padding does too, for it must see something.

    Given with four dimensions it is taken as it is, whatever positions say of packed sequences.
    """
    order = torch.arange(block.shape[1], device=block.device)
    seen = (block[:, None] == _PAGES) | (block[:, None] == block[..., None])
    seen &= order <= order[:, None]
    mask = torch.zeros(seen.shape, dtype=dtype, device=block.device)
    return mask.masked_fill(~seen, torch.finfo(dtype).min)[:, None]


@contextmanager
def _layer_outputs(text_model: Any, wanted: bool) -> Iterator[list[Tensor]]:
    """What reaches each layer but the first, and the norm behind the last one, if wanted."""
    seen: list[Tensor] = []

    def note(module: Any, args: Any, kwargs: dict[str, Any]) -> None:
        seen.append(args[0] if args else kwargs["hidden_states"])

    modules = [*text_model.layers[1:], text_model.norm] if wanted else []
    hooks = [module.register_forward_pre_hook(note, with_kwargs=True) for module in modules]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()
