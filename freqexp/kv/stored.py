"""What is held of a layer: tokens as they are, and two kinds of storage side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from freqexp.nouns.cache import Component, LayerCache, StoredLayer


class Exact:
    """Keys and values [KV heads, tokens, channels] as the model made them."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        self._keys, self._values = alone(keys), alone(values)

    @property
    def tokens(self) -> int:
        """See `StoredLayer`."""
        return self._keys.shape[1]

    def append(self, keys: Tensor, values: Tensor) -> None:
        """See `StoredLayer`."""
        self._keys = torch.cat([self._keys, keys], dim=1)
        self._values = torch.cat([self._values, values], dim=1)

    def read(self) -> tuple[Tensor, Tensor]:
        """See `StoredLayer`: what is held, not a copy."""
        return self._keys, self._values

    def tensors(self) -> Mapping[Component, Sequence[Tensor]]:
        """See `StoredLayer`."""
        return {"exact": (self._keys, self._values)}


class Beside:
    """Tokens held as they are, which new ones join, beside others of a storage that gets no more.

    `read` gives those of `closed` first.
    """

    def __init__(self, closed: StoredLayer, exact: Exact) -> None:
        self._closed, self._exact = closed, exact

    @property
    def tokens(self) -> int:
        """See `StoredLayer`."""
        return self._closed.tokens + self._exact.tokens

    def append(self, keys: Tensor, values: Tensor) -> None:
        """See `StoredLayer`."""
        self._exact.append(keys, values)

    def read(self) -> tuple[Tensor, Tensor]:
        """See `StoredLayer`."""
        parts = zip(self._closed.read(), self._exact.read(), strict=True)
        keys, values = (torch.cat(part, dim=1) for part in parts)
        return keys, values

    def tensors(self) -> Mapping[Component, Sequence[Tensor]]:
        """See `StoredLayer`."""
        found: dict[Component, list[Tensor]] = {}
        for part in (self._closed, self._exact):
            for name, tensors in part.tensors().items():
                found.setdefault(name, []).extend(tensors)
        return found


def beside_text(closed: StoredLayer, layer: LayerCache) -> Beside:
    """`closed`, of a layer's vision tokens, beside its other tokens as they are."""
    text = (~layer.vision).nonzero()[:, 0]
    return Beside(closed, Exact(at(layer.keys, text), at(layer.values, text)))


def alone(values: Tensor) -> Tensor:
    """The same numbers in a storage of their own, of no more bytes than they take."""
    values = values.contiguous()
    whole = values.untyped_storage().nbytes() == values.nbytes
    return values if whole else values.clone()


def at(values: Tensor, places: Tensor) -> Tensor:
    """`values` [heads, L, channels] at `places` int64 [n], of all heads, or [heads, n]."""
    if places.dim() == 1:
        return values.index_select(1, places)
    return values.gather(1, places[..., None].expand(-1, -1, values.shape[2]))
