"""The KV cache of a model that gives and takes it as a sequence of keys and values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from freqexp.errors import UserError
from freqexp.nouns.cache import CacheCompressor, LayerCache
from freqexp.readers.cache_layer import CompressedLayer
from freqexp.readers.meter import Held, held


class ForeignCache:
    """What is held between the forward passes of a batch: what the model gave, or what was made of
    it, which is then read for each pass: all layers at once, for the model takes nothing less.

    past: as the model gave it, (keys, values) a layer, each [batch, KV heads, length, channels].
    mask: int64 [batch, length], 0 where a request is padded.
    """

    def __init__(self, past: Any, mask: Tensor) -> None:
        self._past = past
        self._mask = mask
        self._padding = (mask == 0).sum(dim=1).tolist()
        self._layers: list[CompressedLayer] | None = None

    def compress(
        self, compressor: CacheCompressor, vision: Sequence[Tensor], budget: int | None
    ) -> None:
        """Hold what a compressor makes of each request, of which `vision` bool [length without
        padding] says which tokens are the page's.

        Raises UserError for a model whose cache is something else, and what compressors raise.
        """
        layers = []
        for number, pair in enumerate(pairs(self._past)):
            layer = CompressedLayer()
            keys, values = layer.update(*pair)
            views = [
                LayerCache(
                    keys[row, :, -len(inside) :],
                    values[row, :, -len(inside) :],
                    inside.to(keys.device),
                    number=number,
                    budget=budget,
                )
                for row, inside in enumerate(vision)
            ]
            layer.hold([compressor.compress(view) for view in views])
            layers.append(layer)
        self._layers, self._past = layers, None

    def read(self, new: Tensor) -> tuple[Any, Tensor]:
        """What the model takes, and the mask of that and of its next tokens, whose mask is `new`
        int64 [batch, n].
        """
        if self._layers is None:
            self._mask = torch.cat([self._mask, new], dim=1)
            return self._past, self._mask
        past = tuple(layer.read() for layer in self._layers)
        lengths = torch.tensor([row.tokens for row in self._layers[0].held_rows()])
        width = past[0][0].shape[2]
        there = torch.arange(width) >= width - lengths[:, None]
        return past, torch.cat([there.to(new), new], dim=1)

    def take(self, past: Any, new: Tensor) -> None:
        """Hold on to what the model gave after a pass over tokens with mask `new`."""
        padding = (new == 0).sum(dim=1).tolist()
        self._padding = [a + b for a, b in zip(self._padding, padding, strict=True)]
        if self._layers is None:
            self._past = past
            return
        count = new.shape[1]
        for layer, (keys, values) in zip(self._layers, pairs(past), strict=True):
            layer.next_padding(padding)
            layer.append(keys[:, :, -count:], values[:, :, -count:])

    def held(self) -> list[Held]:
        """What each request's cache holds; reading takes all layers at once."""
        if self._layers is None:
            return [self._whole(padding) for padding in self._padding]
        found = held(self._layers, self._padding)
        return [
            replace(own, read_bytes=sum(layer.read_bytes[row] for layer in self._layers))
            for row, own in enumerate(found)
        ]

    def _whole(self, padding: int) -> Held:
        """What a request holds of the model's own cache: the numbers there are. Right after prefill
        some are views into a layer's projection and keep all of it alive until the next step copies
        them; that is not held against the uncompressed cache.
        """
        found = pairs(self._past)
        batch, _, length, _ = found[0][0].shape
        own = length - padding
        size = sum(t.nbytes for pair in found for t in pair) * own // (batch * length)
        return Held(own, (own,) * len(found), size, size, {"exact": size})


def pairs(past: Any) -> list[tuple[Tensor, Tensor]]:
    """Keys and values of each layer. Raises UserError for anything else."""
    try:
        found = [(keys, values) for keys, values in past]
    except (TypeError, ValueError):
        found = []
    if not found or any(t.dim() != 4 for pair in found for t in pair if isinstance(t, Tensor)):
        raise UserError(
            f"model.path: its cache is a {type(past).__name__}, allowed: one pair of keys and "
            "values [batch, heads, tokens, channels] a layer"
        )
    return found
