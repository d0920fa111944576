"""One `generate` over a batch, with what acts inside the decoder or on its cache."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from freqexp.nouns.vision import CompressedTokens
from freqexp.readers.base import Answer, CacheUse, Request
from freqexp.readers.decoding import Numbers, Prompt, answer_text
from freqexp.readers.families.compressing import Compressing, library_cache
from freqexp.readers.families.in_decoder import Dropping
from freqexp.readers.families.passes import Padded, Passes
from freqexp.readers.meter import Meter


class _Asked(Protocol):
    """What of a reader is needed here, see `HfReader`."""

    model: Any
    tokenizer: Any

    @property
    def text_model(self) -> Any: ...

    def prompt(self, request: Request) -> Prompt: ...

    def position_ids(self, positions: Tensor) -> Tensor: ...

    def encoder_output(self, vision: Sequence[CompressedTokens]) -> Any: ...

    def check_layer(self, layer: int) -> None: ...

    def final_answer(self, ids: Tensor) -> str: ...


@dataclass(frozen=True, eq=False)
class Generated:
    """New tokens int64 [batch, steps] of a batch, what they took, and what acted on the way."""

    new: Tensor
    prompts: list[Prompt]
    meter: Meter
    dropping: Dropping | None
    compress_ms: float | None


def generate(reader: _Asked, requests: Sequence[Request], generation: Any) -> Generated:
    """Greedy decoding of a batch, whose requests have the same methods.

    Of several requests none is to be answered by itself. Raises UserError when a logit is no
    number.
    """
    compressor, budget = requests[0].compressor, requests[0].cache_budget
    with torch.inference_mode(), ExitStack() as stack:
        prompts = [reader.prompt(request) for request in requests]
        pages = [page for request in requests for page in request.vision]
        unseen = compressor is not None and compressor.question == "unseen"
        passes = Passes(prompts, [prompt.end for prompt in prompts] if unseen else None)
        meter = Meter(reader.text_model, passes.total_padding, len(passes.parts))
        stack.enter_context(meter)
        dropping, compressing = _dropping(reader, requests[0], prompts[0]), None
        if dropping is not None:
            stack.enter_context(dropping)
        more: dict[str, Any] = {}
        if compressor is not None and compressor.library is not None:
            more["past_key_values"] = library_cache(compressor.library, reader.model.config)
        elif compressor is not None:
            vision = [
                _is_vision(prompt, length)
                for prompt, length in zip(prompts, passes.lengths[0], strict=True)
            ]
            compressing = Compressing(reader.text_model, compressor, vision, budget)
            stack.enter_context(compressing)
            more["past_key_values"] = compressing.cache
        numbers = Numbers()
        more["logits_processor"] = [numbers]
        images: dict[str, Any] = {}
        if pages:
            images["mm_encoder_outputs"] = {"image": reader.encoder_output(pages)}
        if unseen:
            once = copy.deepcopy(generation)
            once.max_new_tokens = 1
            _run(reader, passes.parts[0], once, **images, **more)
            if compressing is not None:
                compressing.go_on(passes.padding[1])
            output = _run(reader, passes.joined(), generation, **more)
        else:
            output = _run(reader, passes.parts[0], generation, **images, **more)
    numbers.check()
    new = output[:, sum(part[0].shape[1] for part in passes.parts) :]
    ms = None if compressing is None else compressing.ms
    return Generated(new, prompts, meter, dropping, ms)


def answers(reader: _Asked, done: Generated, ends: Sequence[int]) -> list[Answer]:
    """The answer to each request, up to the first of `ends`, and what it took."""
    return [_answer(reader, row, done, ends) for row in range(len(done.new))]


def _answer(reader: _Asked, row: int, done: Generated, ends: Sequence[int]) -> Answer:
    new, prompt, meter = done.new[row], done.prompts[row], done.meter
    ended = torch.isin(new, torch.tensor(ends, device=new.device)).nonzero()
    if len(ended):
        new = new[: int(ended[0]) + 1]
    measured = meter.of(row)
    compress_ms = None if done.compress_ms is None else done.compress_ms / meter.batch_size
    choose_ms = None if done.dropping is None else done.dropping.choose_ms
    return Answer(
        text=reader.final_answer(new),
        truncated=not len(ended),
        vision_tokens_in=prompt.vision_in,
        vision_tokens_out=measured.decoder_tokens - (len(prompt.ids) - prompt.vision_out),
        decoder_tokens=measured.decoder_tokens,
        kv_cache_bytes=measured.cache.bytes,
        prefill_ms=measured.prefill_ms - (compress_ms or 0.0) - (choose_ms or 0.0),
        decode_ms=measured.decode_ms,
        cache_tokens=measured.cache.tokens,
        cache=CacheUse(
            full_bytes=measured.cache.full_bytes,
            components=measured.cache.components,
            end_bytes=measured.cache_end_bytes,
            read_bytes=measured.read_bytes,
            shared_bytes=measured.cache.shared_bytes,
            compress_ms=compress_ms,
        ),
        new_tokens=len(new),
        raw_text=answer_text(reader.tokenizer, new, None),
        first_text=answer_text(reader.tokenizer, new[:1], None),
        batch_size=meter.batch_size,
        choose_ms=choose_ms,
        kept=None if done.dropping is None else tuple(done.dropping.kept.tolist()),
    )


def _run(reader: _Asked, padded: Padded, generation: Any, **more: Any) -> Tensor:
    ids, mask, positions = padded
    output: Tensor = reader.model.generate(
        input_ids=ids,
        attention_mask=mask,
        position_ids=reader.position_ids(positions),
        generation_config=generation,
        **more,
    )
    return output


def _dropping(reader: _Asked, request: Request, prompt: Prompt) -> Dropping | None:
    if request.pruner is None:
        return None
    reader.check_layer(request.pruner.layer)
    return Dropping(reader.text_model, request.pruner, prompt.vision, request.budget)


def alone(request: Request) -> bool:
    """Whether a request can't be answered together with others: each drops its own tokens, and a
    library's quantiser would have one scale for all.
    """
    compressor = request.compressor
    return request.pruner is not None or (compressor is not None and compressor.library is not None)


def _is_vision(prompt: Prompt, length: int) -> Tensor:
    """Bool [length]: which of the first tokens are a page's, or the conversation's text."""
    found = torch.zeros(len(prompt.ids), dtype=torch.bool, device=prompt.ids.device)
    found[prompt.vision] = True
    return found[:length]
