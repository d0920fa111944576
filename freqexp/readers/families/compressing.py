"""Compressing the KV cache of a transformers decoder after its prefill.

Every layer's keys and values are compressed as soon as the layer is done, so that beside what is
compressed only one layer is whole; methods that divide a budget among layers have to wait for the
last one. Attention of the prefill sees everything. What is read later sees what is held: its mask
is made here for each layer, because layers and requests may hold different numbers of tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, QuantizedCache

from freqexp.nouns.cache import CacheCompressor, LayerCache
from freqexp.readers.cache_layer import CompressedLayer
from freqexp.readers.families.attention import now_ms, query_module, rotated


def library_cache(backend: str, config: Any) -> Cache:
    """A cache that transformers itself quantises."""
    return QuantizedCache(backend, config)


class Compressing:
    """Hooks on a decoder for the `generate` calls of one batch, removed on leaving, also after an
    exception.

    vision: of each request bool [L], which tokens of what is compressed are a page's; L is its
    length. budget: see `Request`.
    cache: to be given to `generate`. ms: how long compressing took.
    """

    def __init__(
        self,
        text_model: Any,
        compressor: CacheCompressor,
        vision: Sequence[Tensor],
        budget: int | None,
    ) -> None:
        self._text_model = text_model
        self._compressor = compressor
        self._vision = vision
        self._budget = budget
        self.ms = 0.0
        self._layers = [CompressedLayer() for _ in text_model.layers]
        self.cache = Cache(layers=list(self._layers))
        self._queries: dict[int, Tensor] = {}
        self._waiting: dict[int, list[LayerCache]] = {}
        self._padding: Sequence[int] = [0] * len(vision)
        self._masks: dict[tuple[object, ...], Tensor | None] = {}
        self._hooks: list[Any] = []

    def __enter__(self) -> Compressing:
        for number, layer in enumerate(self._text_model.layers):
            if self._compressor.queries:
                queries = query_module(layer.self_attn)
                hook = queries.register_forward_hook(partial(self._see_queries, number))
                self._hooks.append(hook)
            before = partial(self._before, number)
            self._hooks.append(layer.register_forward_pre_hook(before, with_kwargs=True))
            after = partial(self._after, number)
            self._hooks.append(layer.register_forward_hook(after, with_kwargs=True))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for hook in self._hooks:
            hook.remove()

    def go_on(self, padding: Sequence[int]) -> None:
        """The next tokens of each request begin with so many of padding."""
        self._padding = padding
        for layer in self._layers:
            layer.next_padding(padding)

    def _see_queries(self, number: int, module: Any, args: Any, output: Tensor) -> None:
        if self._layers[number].rows is None:
            self._queries[number] = output[:, -self._compressor.queries :].clone()

    def _before(self, number: int, layer: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        """A mask that fits what the layer holds and its next tokens."""
        rows = self._layers[number].rows
        if rows is None:
            return None
        new = args[0].shape[1]
        padding = self._padding if new > 1 else [0] * len(rows)
        held = [row.tokens + new - skip for row, skip in zip(rows, padding, strict=True)]
        key = (*held, new, args[0].device)
        if key not in self._masks:
            self._masks = {key: self._mask(held, new, padding, args[0])}
        return args, {**kwargs, "attention_mask": self._masks[key]}

    def _mask(
        self, held: Sequence[int], new: int, padding: Sequence[int], hidden: Tensor
    ) -> Tensor | None:
        """Which of `held` tokens of each request, right-aligned, its `new` last ones see: those
        before them and themselves. In the form that the attention takes.
        """
        device, width = hidden.device, max(held)
        column = torch.arange(width, device=device)
        first = width - torch.tensor(held, device=device)[:, None]
        there = column >= first
        how = self._text_model.config._attn_implementation
        if bool(there.all()) and (new == 1 or how.startswith("flash")):
            return None
        if how.startswith("flash"):
            return there
        place = torch.arange(new, device=device)
        seen = column <= (width - new + place)[:, None]
        # What padding sees doesn't matter, but it must see something.
        pads = place < torch.tensor(padding, device=device)[:, None]
        mask = (seen & (there[:, None] | pads[..., None]))[:, None]
        if how == "sdpa":
            return mask
        least = torch.finfo(hidden.dtype).min
        return torch.zeros_like(mask, dtype=hidden.dtype).masked_fill(~mask, least)

    def _after(
        self, number: int, layer: Any, args: Any, kwargs: dict[str, Any], output: Any
    ) -> None:
        """Compress what the layer holds, once."""
        held = self._layers[number]
        if held.rows is not None:
            return
        started = now_ms(args[0])
        self._waiting[number] = self._views(number, layer.self_attn, kwargs["position_embeddings"])
        if not self._compressor.all_layers:
            self._compress(number)
        elif len(self._waiting) == len(self._layers):
            self._compress_all()
        self.ms += now_ms(args[0]) - started

    def _views(
        self, number: int, attention: Any, angles: tuple[Tensor, Tensor]
    ) -> list[LayerCache]:
        """What the layer holds of each request."""
        keys, values = self._layers[number].whole()
        queries = None
        if number in self._queries:
            queries = rotated(attention, self._queries.pop(number), angles)
        views = []
        for row, vision in enumerate(self._vision):
            length = len(vision)
            last = None if queries is None else queries[row, :, -length:]
            views.append(
                LayerCache(
                    keys[row, :, -length:],
                    values[row, :, -length:],
                    vision.to(keys.device),
                    last,
                    float(attention.scaling),
                    number,
                    self._budget,
                )
            )
        return views

    def _compress(self, number: int) -> None:
        views = self._waiting.pop(number)
        self._layers[number].hold([self._compressor.compress(view) for view in views])

    def _compress_all(self) -> None:
        """With what each layer is to keep of each request."""
        for row in range(len(self._vision)):
            plan = self._compressor.plan([self._waiting[n][row] for n in sorted(self._waiting)])
            for number, budget in enumerate(plan):
                self._waiting[number][row] = replace(self._waiting[number][row], budget=budget)
        for number in sorted(self._waiting):
            self._compress(number)
