"""Reads off a running model what an answer takes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import torch


@dataclass(frozen=True)
class Measured:
    """One request's part in a `generate` call, see `Answer`."""

    decoder_tokens: int
    kv_cache_bytes: int
    cache_tokens: tuple[int, ...]
    prefill_ms: float
    decode_ms: float


class Meter:
    """Watches one `generate` call through a hook on the text model, removed on leaving, also after
    an exception.

    lengths: each request's prompt length; what the decoder saw beyond the longest, or less than
    it, counts for every request.
    """

    def __init__(self, text_model: Any, lengths: Sequence[int]) -> None:
        self._text_model = text_model
        self._padding = [max(lengths) - length for length in lengths]
        self._sequence: int | None = None
        self._layers: list[tuple[int, int]] = []
        self._prefill_ms = 0.0
        self._total_ms = 0.0

    @property
    def batch_size(self) -> int:
        """Requests in the call."""
        return len(self._padding)

    def of(self, row: int) -> Measured:
        """What request `row` took: its share of a batch's time, and no padding."""
        assert self._sequence is not None, "the decoder did not run"
        padding = self._padding[row]
        tokens = tuple(length - padding for length, _ in self._layers)
        per_token = (size for _, size in self._layers)
        return Measured(
            decoder_tokens=self._sequence - padding,
            kv_cache_bytes=sum(n * size for n, size in zip(tokens, per_token, strict=True)),
            cache_tokens=tokens,
            prefill_ms=self._prefill_ms / self.batch_size,
            decode_ms=(self._total_ms - self._prefill_ms) / self.batch_size,
        )

    def __enter__(self) -> Meter:
        # What enters counts: a decoder may drop tokens on the way.
        self._hook = self._text_model.register_forward_hook(self._after, with_kwargs=True)
        self._started = time.perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._total_ms = (time.perf_counter() - self._started) * 1000
        self._hook.remove()

    def _after(self, module: Any, args: Any, kwargs: Any, output: Any) -> None:
        if self._sequence is not None:
            return
        inputs = kwargs["inputs_embeds"]
        if output.last_hidden_state.is_cuda:
            torch.cuda.synchronize(output.last_hidden_state.device)
        self._prefill_ms = (time.perf_counter() - self._started) * 1000
        self._sequence = int(inputs.shape[1])
        self._layers = cache_layers(output.past_key_values)


def cache_layers(cache: Any) -> list[tuple[int, int]]:
    """For each layer of a transformers cache with tensors [batch, heads, tokens, channels]: its
    tokens, and the bytes of one token's keys and values.
    """
    layers = []
    for layer in cache.layers:
        if layer.keys is None:
            continue
        batch, _, tokens, _ = layer.keys.shape
        size = sum(int(t.numel() * t.element_size()) for t in (layer.keys, layer.values))
        layers.append((int(tokens), size // (batch * tokens)))
    return layers
