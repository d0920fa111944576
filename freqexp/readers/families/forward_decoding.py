"""Greedy decoding through a model's `forward` alone, for models whose `generate` can't be given a
shortened sequence.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Row:
    """One prompt of a batch.

    ids, positions: int64 [length], one placeholder for each vector of `features`.
    inside: where the placeholders are.
    features: [placeholders, channels], put in instead of their word embeddings.
    history: int64 [any], the ids of the prompt that a repetition penalty counts.
    """

    ids: Tensor
    positions: Tensor
    inside: slice
    features: Tensor
    history: Tensor


@dataclass(frozen=True, eq=False)
class Decoded:
    """What came out, and what it took.

    tokens: int64 [batch, steps].
    layers: for each layer, tokens in the cache right after prefill (padding included) and bytes of
    one token's keys and values.
    prefill_ms, decode_ms: of the whole batch.
    """

    tokens: Tensor
    layers: list[tuple[int, int]]
    prefill_ms: float
    decode_ms: float


def decode(
    model: Any, rows: Sequence[Row], ends: Tensor, penalty: float, max_new_tokens: int
) -> Decoded:
    """Decode all rows, padded on the left, until each has given one of `ends` [ends] or
    `max_new_tokens` tokens.

    penalty: repetition penalty (arXiv 1909.05858); 1: none.
    """
    from transformers import RepetitionPenaltyLogitsProcessor

    penalize: Any = RepetitionPenaltyLogitsProcessor(penalty)
    # A row is padded with its own last token, which adds nothing to what the penalty counts.
    ids = _pad_left([row.ids for row in rows])
    history = _pad_left([row.history for row in rows])
    positions = _pad_left([row.positions for row in rows])
    mask = _pad_left([torch.ones_like(row.ids) for row in rows], fill=0)
    new: list[Tensor] = []
    done = torch.zeros(len(rows), dtype=torch.bool, device=ids.device)
    started = time.perf_counter()
    with _features_as_words(model.get_input_embeddings(), rows):
        output = _forward(model, ids, positions, mask, None)
    layers = cache_layers(output.past_key_values)
    prefill_ms = _since_ms(started, ids)
    while True:
        logits = output.logits[:, -1].float()
        token = penalize(history, logits).argmax(dim=-1, keepdim=True)
        new.append(token)
        done |= torch.isin(token[:, 0], ends)
        if len(new) == max_new_tokens or bool(done.all()):
            break
        history = torch.cat([history, token], dim=1)
        mask = torch.cat([mask, torch.ones_like(token)], dim=1)
        positions = positions[:, -1:] + 1
        output = _forward(model, token, positions, mask, output.past_key_values)
    total_ms = _since_ms(started, ids)
    return Decoded(torch.cat(new, dim=1), layers, prefill_ms, total_ms - prefill_ms)


def cache_layers(cache: Any) -> list[tuple[int, int]]:
    """For each layer of a cache, a sequence of keys and values [batch, heads, tokens, channels]:
    its tokens, and the bytes of one token's keys and values.
    """
    layers = []
    for keys, values in cache:
        batch, _, tokens, _ = keys.shape
        size = sum(int(t.numel() * t.element_size()) for t in (keys, values))
        layers.append((int(tokens), size // (batch * tokens)))
    return layers


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
def _features_as_words(words: Any, rows: Sequence[Row]) -> Iterator[None]:
    """Put each row's features in place of its placeholders' word embeddings; undone afterwards."""

    def replace(module: Any, args: Any, embeddings: Tensor) -> Tensor:
        embeddings = embeddings.clone()
        length = embeddings.shape[1]
        for number, row in enumerate(rows):
            padding = length - len(row.ids)
            inside = slice(padding + row.inside.start, padding + row.inside.stop)
            embeddings[number, inside] = row.features.to(embeddings)
        return embeddings

    hook = words.register_forward_hook(replace)
    try:
        yield
    finally:
        hook.remove()


def _pad_left(rows: Sequence[Tensor], fill: int | None = None) -> Tensor:
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
