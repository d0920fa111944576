"""Reads off a running model what an answer takes."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import torch

from freqexp.errors import UserError
from freqexp.nouns.cache import Component
from freqexp.readers.held import shared_storages, storages


@dataclass(frozen=True)
class Held:
    """What one request's KV cache holds.

    sequence: length of what went through the first layer. tokens: of each layer. full_bytes: of
    keys and values of its whole sequence as the model makes them, where no token was dropped inside
    the decoder. bytes: of all storages it keeps alive.
    components: the same, as the cache itself counts it. read_bytes: the most that reading one layer
    took beside them. shared_bytes: of storages that serve all requests.
    """

    sequence: int
    tokens: tuple[int, ...]
    full_bytes: int
    bytes: int
    components: Mapping[Component, int]
    read_bytes: int = 0
    shared_bytes: int = 0


@dataclass(frozen=True)
class Measured:
    """One request's part in a `generate` call, see `Answer`."""

    decoder_tokens: int
    cache: Held
    cache_end_bytes: int
    read_bytes: int
    prefill_ms: float
    decode_ms: float


class Meter:
    """Watches `generate` through a hook on the text model, removed on leaving, also after an
    exception.

    padding: of each request, the tokens of all passes that are none of its own.
    passes: how many times the text model runs before the first answer token.
    """

    def __init__(self, text_model: Any, padding: Sequence[int], passes: int = 1) -> None:
        self._text_model = text_model
        self._padding = padding
        self._passes = passes
        self._sequence = 0
        self._cache: Any = None
        self._after_prefill: list[Held] = []
        self._at_end: list[Held] = []
        self._prefill_ms = 0.0
        self._total_ms = 0.0

    @property
    def batch_size(self) -> int:
        """Requests in the call."""
        return len(self._padding)

    def of(self, row: int) -> Measured:
        """What request `row` took: its share of a batch's time, and no padding."""
        assert self._after_prefill, "the decoder did not run"
        return Measured(
            decoder_tokens=self._sequence - self._padding[row],
            cache=self._after_prefill[row],
            cache_end_bytes=self._at_end[row].bytes,
            read_bytes=self._at_end[row].read_bytes,
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
        if error is None and self._cache is not None:
            self._at_end = held(self._cache.layers, self._padding)
        self._cache = None

    def _after(self, module: Any, args: Any, kwargs: Any, output: Any) -> None:
        if not self._passes:
            return
        self._passes -= 1
        self._sequence += int(kwargs["inputs_embeds"].shape[1])
        if self._passes:
            return
        if output.last_hidden_state.is_cuda:
            torch.cuda.synchronize(output.last_hidden_state.device)
        self._prefill_ms = (time.perf_counter() - self._started) * 1000
        cache = output.past_key_values
        if not hasattr(cache, "layers"):
            got = type(cache).__name__
            raise UserError(f"model.path: its cache is a {got}, allowed: one with a list of layers")
        self._cache = cache
        self._after_prefill = held(self._cache.layers, self._padding)


def held(layers: Sequence[Any], padding: Sequence[int]) -> list[Held]:
    """What the layers of a transformers cache hold of each request of a batch.

    padding: of each request. Of layers that hold a batch as one, a request's part is that of its
    tokens.
    """
    filled = [layer for layer in layers if layer.keys is not None or _rows(layer) is not None]
    return [_held(filled, row, skip) for row, skip in enumerate(padding)]


def _rows(layer: Any) -> Any:
    return getattr(layer, "rows", None)


def _held(layers: Sequence[Any], row: int, padding: int) -> Held:
    tokens: list[int] = []
    components: dict[Component, int] = {}
    own: dict[int, int] = {}
    shared: dict[int, int] = {}
    total = full_bytes = read_bytes = sequence = 0
    for layer in layers:
        rows = _rows(layer)
        if rows is None:
            length, parts, copy = _whole(layer, padding)
            sequence = sequence or length
            total += sum(parts.values())
            full_bytes += copy or sum(parts.values())
            read_bytes = max(read_bytes, copy)
        else:
            length, sequence = rows[row].tokens, sequence or layer.seen - padding
            full_bytes += layer.token_bytes * (layer.seen - padding)
            own.update(storages(rows[row]))
            shared.update(shared_storages(rows[row]))
            parts = {
                name: sum(storages(tensors).values())
                for name, tensors in rows[row].tensors().items()
            }
            read_bytes = max(read_bytes, layer.read_bytes[row])
        tokens.append(length)
        for name, size in parts.items():
            components[name] = components.get(name, 0) + size
    total += sum(own.values())
    whole = sum(shared.values())
    return Held(sequence, tuple(tokens), full_bytes, total, components, read_bytes, whole)


def _whole(layer: Any, padding: int) -> tuple[int, dict[Component, int], int]:
    """One request's tokens in a layer that holds a batch as one, its bytes, and those of a copy in
    full precision where reading makes one.
    """
    # Keys in 8 bits are held beside their scale; `keys` is empty then.
    codes = getattr(layer, "_quantized_keys", None)
    shape = layer.keys.shape if codes is None else codes[0].shape
    batch, length = int(shape[0]), int(shape[2])

    def share(things: Any) -> int:
        return sum(storages(things).values()) * (length - padding) // (length * batch)

    if codes is None:
        return length - padding, {"exact": share((layer.keys, layer.values))}, 0
    numbers, scales = zip(codes, layer._quantized_values, strict=True)
    copy = share(numbers) * layer.dtype.itemsize // numbers[0].element_size()
    return length - padding, {"codes": share(numbers), "scales": share(scales)}, copy
