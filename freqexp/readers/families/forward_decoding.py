"""Greedy decoding through a model's `forward` alone, for models whose `generate` can't be given a
shortened sequence.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from freqexp.nouns.cache import CacheCompressor
from freqexp.readers.base import Answer, CacheUse
from freqexp.readers.decoding import Numbers, answer_text
from freqexp.readers.families.foreign_cache import ForeignCache
from freqexp.readers.meter import Held


class _Asked(Protocol):
    """What of a reader is needed here, see `Glm4vRemoteReader`."""

    tokenizer: Any
    ends: Tensor
    answer_after: str | None


@dataclass(frozen=True, eq=False)
class Row:
    """One prompt of a batch.

    ids, positions: int64 [length], one placeholder for each vector of `features`.
    inside: where the placeholders are; empty without a page. vision: bool [length], those of a
        page's tokens alone, or the conversation's text.
    features: [placeholders, channels], put in instead of their word embeddings.
    history: int64 [any], the ids of the prompt that a repetition penalty counts.
    end: length up to the question. vision_in: vision tokens before compression.
    """

    ids: Tensor
    positions: Tensor
    inside: slice
    vision: Tensor
    features: Tensor
    history: Tensor
    end: int
    vision_in: int

    @property
    def vision_out(self) -> int:
        """Vision tokens among `ids`; markers are none."""
        return int(self.vision.sum()) if self.vision_in else 0


@dataclass(frozen=True, eq=False)
class Decoded:
    """What came out, and what it took.

    tokens: int64 [batch, steps].
    held, held_at_end: what the cache holds of each request right after prefill, and at the end.
    prefill_ms, decode_ms: of the whole batch. compress_ms: what of the prefill was compressing;
    None without a compressor.
    """

    tokens: Tensor
    held: list[Held]
    held_at_end: list[Held]
    prefill_ms: float
    decode_ms: float
    compress_ms: float | None = None


def decode(
    model: Any,
    rows: Sequence[Row],
    ends: Tensor,
    penalty: float,
    max_new_tokens: int,
    compressor: CacheCompressor | None = None,
    cache_budget: int | None = None,
) -> Decoded:
    """Decode all rows, padded on the left, until each has given one of `ends` [ends] or
    `max_new_tokens` tokens.

    penalty: repetition penalty (arXiv 1909.05858); 1: none. compressor, cache_budget: see
    `Request`; where the question is unseen, what follows the page is read after compressing.
    Raises UserError when a logit is no number.
    """
    from transformers import RepetitionPenaltyLogitsProcessor

    penalize: Any = RepetitionPenaltyLogitsProcessor(penalty)
    numbers = Numbers()
    # A row is padded with its own last token, which adds nothing to what the penalty counts.
    history = pad_left([row.history for row in rows])
    new: list[Tensor] = []
    done = torch.zeros(len(rows), dtype=torch.bool, device=ends.device)
    started, compress_ms = time.perf_counter(), None
    unseen = compressor is not None and compressor.question == "unseen"
    lengths = [row.end if unseen else len(row.ids) for row in rows]
    parts = list(zip(rows, lengths, strict=True))
    ids = pad_left([row.ids[:length] for row, length in parts])
    positions = pad_left([row.positions[:length] for row, length in parts])
    mask = pad_left([torch.ones_like(row.ids[:length]) for row, length in parts], fill=0)
    with features_as_words(model.get_input_embeddings(), rows, lengths):
        output = _forward(model, ids, positions, mask, None)
    cache = ForeignCache(output.past_key_values, mask)
    if compressor is not None:
        output.past_key_values = None
        before = _since_ms(started, ids)
        cache.compress(compressor, [row.vision[:length] for row, length in parts], cache_budget)
        compress_ms = _since_ms(started, ids) - before
    if unseen:
        ids = pad_left([row.ids[length:] for row, length in parts])
        positions = pad_left([row.positions[length:] for row, length in parts])
        mask = pad_left([torch.ones_like(row.ids[length:]) for row, length in parts], fill=0)
        output = _next(model, ids, positions, mask, cache)
    held = cache.held()
    prefill_ms = _since_ms(started, ids) - (compress_ms or 0.0)
    while True:
        logits = output.logits[:, -1].float()
        token = penalize(history, numbers(history, logits)).argmax(dim=-1, keepdim=True)
        new.append(token)
        done |= torch.isin(token[:, 0], ends)
        if len(new) == max_new_tokens or bool(done.all()):
            break
        history = torch.cat([history, token], dim=1)
        positions = positions[:, -1:] + 1
        output = _next(model, token, positions, torch.ones_like(token), cache)
    total_ms = _since_ms(started, ids)
    decode_ms = total_ms - prefill_ms - (compress_ms or 0.0)
    numbers.check()
    tokens = torch.cat(new, dim=1)
    return Decoded(tokens, held, cache.held(), prefill_ms, decode_ms, compress_ms)


def answer_of(reader: _Asked, number: int, rows: Sequence[Row], decoded: Decoded) -> Answer:
    """The answer to row `number`, up to the first end, and what it took."""
    row, new = rows[number], decoded.tokens[number]
    ended = torch.isin(new, reader.ends).nonzero()
    if len(ended):
        new = new[: int(ended[0]) + 1]
    held, at_end = decoded.held[number], decoded.held_at_end[number]
    ms = decoded.compress_ms
    return Answer(
        text=answer_text(reader.tokenizer, new, reader.answer_after),
        truncated=not len(ended),
        vision_tokens_in=row.vision_in,
        vision_tokens_out=held.sequence - (len(row.ids) - row.vision_out),
        decoder_tokens=held.sequence,
        kv_cache_bytes=held.bytes,
        prefill_ms=decoded.prefill_ms / len(rows),
        decode_ms=decoded.decode_ms / len(rows),
        cache_tokens=held.tokens,
        cache=CacheUse(
            full_bytes=held.full_bytes,
            components=held.components,
            end_bytes=at_end.bytes,
            read_bytes=at_end.read_bytes,
            shared_bytes=held.shared_bytes,
            compress_ms=None if ms is None else ms / len(rows),
        ),
        new_tokens=len(new),
        raw_text=answer_text(reader.tokenizer, new, None),
        first_text=answer_text(reader.tokenizer, new[:1], None),
        batch_size=len(rows),
    )


def _next(model: Any, ids: Tensor, positions: Tensor, mask: Tensor, cache: ForeignCache) -> Any:
    """A pass over more tokens [batch, n], with a mask of the same shape."""
    past, whole = cache.read(mask)
    output = _forward(model, ids, positions, whole, past)
    cache.take(output.past_key_values, mask)
    output.past_key_values = None
    return output


def _forward(model: Any, ids: Tensor, positions: Tensor, mask: Tensor, past: Any) -> Any:
    return model(
        input_ids=ids,
        position_ids=positions,
        attention_mask=mask,
        past_key_values=past,
        use_cache=True,
        return_dict=True,
        return_last_logit=True,
    )


@contextmanager
def features_as_words(words: Any, rows: Sequence[Row], lengths: Sequence[int]) -> Iterator[None]:
    """Put each row's features in place of the word embeddings of its placeholders, which are among
    its first `lengths` tokens; undone afterwards.
    """

    def replace(module: Any, args: Any, embeddings: Tensor) -> Tensor:
        embeddings = embeddings.clone()
        length = embeddings.shape[1]
        for number, (row, own) in enumerate(zip(rows, lengths, strict=True)):
            padding = length - own
            inside = slice(padding + row.inside.start, padding + row.inside.stop)
            embeddings[number, inside] = row.features.to(embeddings)
        return embeddings

    hook = words.register_forward_hook(replace)
    try:
        yield
    finally:
        hook.remove()


def pad_left(rows: Sequence[Tensor], fill: int | None = None) -> Tensor:
    """Rows [length] of different lengths as [batch, longest]; fill None: each with its last."""
    longest = max(len(row) for row in rows)
    padded = []
    for row in rows:
        padding = row[-1:].expand(longest - len(row))
        padded.append(torch.cat([padding if fill is None else torch.full_like(padding, fill), row]))
    return torch.stack(padded)


def _since_ms(started: float, on: Tensor) -> float:
    if on.is_cuda:
        torch.cuda.synchronize(on.device)
    return (time.perf_counter() - started) * 1000
