"""What every compressor of the KV cache shares."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch

from freqexp.errors import UserError, fault
from freqexp.nouns.cache import Asked, LayerCache, StoredLayer


class KVMethod(ABC):
    """A `CacheCompressor`, one layer of one request at a time. Deterministic."""

    simulated: bool
    """True when nothing gets shorter or smaller, whatever comes."""

    queries: int = 0
    """See `CacheCompressor`."""
    all_layers: bool = False
    """See `CacheCompressor`."""
    library: str | None = None
    """See `CacheCompressor`."""

    evicts: bool = False
    """Whether tokens leave; if not, as many are read as there were."""
    nested: bool = True
    """Of a method that evicts: whether what stays at a smaller budget is among what stays at a
    larger one.
    """

    def __init__(self, question: Asked = "unseen") -> None:
        self.question: Asked = question

    def plan(self, layers: Sequence[LayerCache]) -> list[int]:
        """See `CacheCompressor`."""
        raise TypeError(f"{type(self).__name__} takes every layer by itself")

    @abstractmethod
    def compress(self, layer: LayerCache) -> StoredLayer:
        """See `CacheCompressor`.

        Raises ValueError for a layer whose parts do not fit, and UserError for NaN or infinity and
        for a prompt that is too short for the settings.
        """


def check_layer(layer: LayerCache) -> None:
    """Raises ValueError when the tensors do not fit each other, and UserError when they hold NaN or
    infinity.
    """
    keys, values = layer.keys, layer.values
    if keys.dim() != 3 or 0 in keys.shape or keys.shape[:2] != values.shape[:2]:
        got = f"{tuple(keys.shape)} and {tuple(values.shape)}"
        raise ValueError(f"keys, values: got {got}, allowed: [heads, tokens, channels] each")
    if not (keys.is_floating_point() and values.dtype == keys.dtype):
        raise ValueError(f"keys: got {keys.dtype}, allowed: a floating dtype, that of the values")
    if tuple(layer.vision.shape) != (keys.shape[1],) or layer.vision.dtype != torch.bool:
        got = f"{layer.vision.dtype} {tuple(layer.vision.shape)}"
        raise ValueError(f"vision: got {got}, allowed: bool [{keys.shape[1]}]")
    for name, values in (("keys", keys), ("values", layer.values)):
        if not torch.isfinite(values.sum(dtype=torch.float64)):
            raise UserError(f"KV cache: the {name} hold NaN or infinity; try a wider dtype")


def in_scope(layer: LayerCache, scope: str) -> torch.Tensor:
    """int64 [n], increasing: the tokens that a method may act on, all of them or the pages'.

    Raises UserError for scope "vision" of a prompt without pages.
    """
    if scope == "all":
        return torch.arange(layer.keys.shape[1], device=layer.keys.device)
    found = layer.vision.nonzero()[:, 0]
    if not len(found):
        allowed = "all for a prompt without vision tokens"
        raise UserError(fault("compressor.scope", scope, allowed))
    return found
