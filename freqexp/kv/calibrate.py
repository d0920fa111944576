"""Bases that serve many requests, from the keys and values of others."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from freqexp.kv.base import check_layer, in_scope
from freqexp.kv.basis_file import Bases
from freqexp.kv.principal import Basis, directions
from freqexp.kv.stored import at
from freqexp.nouns.cache import LayerCache


def calibrate(layers: Iterable[LayerCache], model: str = "", scope: str = "all") -> Bases:
    """Principal components of all tokens in scope of every request, a layer and head at a time.

    layers: every layer of every request, in any order; each is let go before the next is asked for.
    Sums are of float64. model: its name. Raises ValueError unless every layer from 0 on comes
    equally often, and what `check_layer` and `in_scope` raise.
    """
    found: dict[int, _Layer] = {}
    for layer in layers:
        check_layer(layer)
        found.setdefault(layer.number, _Layer()).add(layer, in_scope(layer, scope))
    seen = [found[number].requests for number in sorted(found)]
    if not seen or sorted(found) != list(range(len(found))) or len(set(seen)) > 1:
        times = {number: layer.requests for number, layer in sorted(found.items())}
        raise ValueError(f"layers: got {times}, allowed: each from 0 on, equally often")
    bases = tuple(found[number].bases() for number in range(len(found)))
    return Bases(bases, model, seen[0])


class _Layer:
    """Of keys and of values: how many, and the sums of numbers and of their products."""

    def __init__(self) -> None:
        self.requests = 0
        self._tokens = 0
        self._sums: list[Tensor | float] = [0.0, 0.0]
        self._products: list[Tensor | float] = [0.0, 0.0]

    def add(self, layer: LayerCache, scope: Tensor) -> None:
        self.requests += 1
        self._tokens += len(scope)
        for side, numbers in enumerate((layer.keys, layer.values)):
            wide = at(numbers, scope).double()
            self._sums[side] = self._sums[side] + wide.sum(dim=1)
            self._products[side] = self._products[side] + wide.mT @ wide

    def bases(self) -> tuple[Basis, Basis]:
        keys, values = (self._basis(side) for side in (0, 1))
        return keys, values

    def _basis(self, side: int) -> Basis:
        mean = torch.as_tensor(self._sums[side]) / self._tokens
        square = mean[:, :, None] * mean[:, None]
        return Basis(directions(self._products[side] - self._tokens * square), mean)
