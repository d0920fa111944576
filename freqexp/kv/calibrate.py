"""Bases that serve many requests, from the keys and values of others."""

from __future__ import annotations

import torch
from torch import Tensor

from freqexp.kv.basis_file import Bases
from freqexp.kv.checks import check_layer, in_scope
from freqexp.kv.principal import Basis, directions
from freqexp.kv.stored import at
from freqexp.nouns.cache import LayerCache


class Calibration:
    """Principal components of all tokens in scope of every request, a layer and head at a time,
    from sums in float64. scope: see `in_scope`.
    """

    def __init__(self, scope: str = "all") -> None:
        self._scope = scope
        self._layers: dict[int, _Layer] = {}

    def add(self, layer: LayerCache) -> None:
        """Take a layer of a request, in any order. Raises what `check_layer` and `in_scope` do."""
        check_layer(layer)
        scope = in_scope(layer, self._scope)
        self._layers.setdefault(layer.number, _Layer()).add(layer, scope)

    def bases(self, model: str = "") -> Bases:
        """model: its name. Raises ValueError unless every layer from 0 on came equally often."""
        times = {number: layer.requests for number, layer in sorted(self._layers.items())}
        if not times or list(times) != list(range(len(times))) or len(set(times.values())) > 1:
            raise ValueError(f"layers: got {times}, allowed: each from 0 on, equally often")
        bases = tuple(self._layers[number].bases() for number in times)
        return Bases(bases, model, times[0])


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
