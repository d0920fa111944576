"""Keys and values as few coefficients of a basis: smaller tokens, none leaves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from freqexp.coding.share import check_keep_ratio
from freqexp.errors import BudgetError, ConfigError, UserError, fault
from freqexp.kv.base import KVMethod
from freqexp.kv.basis_file import load
from freqexp.kv.checks import check_layer, check_scope, in_scope
from freqexp.kv.principal import Basis, coefficients, principal, restored
from freqexp.kv.stored import Exact, alone, at, beside_text
from freqexp.nouns.cache import Asked, Component, LayerCache, Shared, StoredLayer


class LowRank(KVMethod):
    """Principal components of keys and of values, each KV head by itself: the training-free form of
    Eigen Attention (arXiv 2408.05646) and MatryoshkaKV (arXiv 2410.14731).

    Of the T tokens [T, d] in scope r coefficients each are held, their basis [r, d] and their mean
    [d]; r is the largest that takes no more than `keep_ratio` of the numbers: r T + r d + d of T d.
    With bases from a file, which serve all requests, coefficients alone are held, r = floor(
    keep_ratio d), at least 1. At keep_ratio 1 tokens stay as they are, as new ones do at any.
    """

    def __init__(
        self,
        keep_ratio: float = 0.5,
        scope: str = "all",
        question: Asked = "unseen",
        basis_path: str | None = None,
    ) -> None:
        """Check and keep the settings. scope: "all" tokens, or those of pages: "vision".
        basis_path: see `basis_file`; None: each request's own.

        Raises ConfigError naming every value outside what is allowed, and what `load` raises.
        """
        faults = check_keep_ratio(keep_ratio)
        faults += check_scope(scope)
        if faults:
            raise ConfigError(faults)
        super().__init__(question)
        self.simulated = keep_ratio == 1
        self._keep_ratio, self._scope = keep_ratio, scope
        self._path = basis_path
        self._bases = None if basis_path is None else load(basis_path)
        self._shared: dict[object, Shared] = {}

    def rank(self, tokens: int, channels: int) -> int:
        """Coefficients of a token. Raises BudgetError where no basis of one direction fits."""
        if self._bases is not None:
            return max(1, math.floor(self._keep_ratio * channels))
        room = self._keep_ratio * tokens * channels - channels
        rank = math.floor(room / (tokens + channels))
        if rank >= 1:
            return rank
        least = (tokens + 2 * channels) / (tokens * channels)
        allowed = f"{math.ceil(least * 1e4) / 1e4:g} or more" if least < 1 else "1"
        of = f"{tokens} tokens of {channels} channels"
        raise BudgetError(fault("keep_ratio", self._keep_ratio, f"{allowed} for {of}"))

    def compress(self, layer: LayerCache) -> StoredLayer:
        """See `KVMethod`. Raises BudgetError for too few tokens in scope, and UserError for bases
        of another model, besides.
        """
        check_layer(layer)
        keys, values = layer.keys, layer.values
        scope = in_scope(layer, self._scope)
        if self.simulated:
            return Exact(keys, values)
        if self._scope == "vision":
            keys, values = at(keys, scope), at(values, scope)
        stored = Projected(keys, values, self._basis(layer.number, keys, values))
        return stored if self._scope == "all" else beside_text(stored, layer)

    def _basis(self, number: int, keys: Tensor, values: Tensor) -> Shared | tuple[Tensor, ...]:
        """Directions and mean of the keys, then of the values."""
        sides = (keys, values)
        ranks = [self.rank(*side.shape[1:]) for side in sides]
        if self._bases is None:
            bases = [principal(*pair) for pair in zip(sides, ranks, strict=True)]
            return (*bases[0], *bases[1])
        place = (number, keys.device, keys.dtype)
        if place not in self._shared:
            parts: list[Tensor] = []
            for basis, rank in zip(self._fitting(number, sides), ranks, strict=True):
                parts += [basis.directions[:, :rank], basis.mean]
            held = (alone(part.to(keys.device, keys.dtype)) for part in parts)
            self._shared[place] = Shared(tuple(held))
        return self._shared[place]

    def _fitting(self, number: int, sides: Sequence[Tensor]) -> tuple[Basis, Basis]:
        """A layer's bases from the file."""
        assert self._bases is not None
        layers = self._bases.layers
        heads, channels = layers[0][0].mean.shape
        if number < len(layers) and all(s.shape[::2] == (heads, channels) for s in sides):
            return layers[number]
        needed = " and ".join(f"{side.shape[0]} heads of {side.shape[2]}" for side in sides)
        allowed = (
            f"bases of this model, whose layer {number} has {needed} channels; "
            f"these are of {len(layers)} layers of {heads} heads of {channels}"
        )
        raise UserError(fault("compressor.basis_path", self._path, allowed))


class Projected:
    """Keys and values as coefficients [KV heads, tokens, r], and new tokens as they are."""

    def __init__(self, keys: Tensor, values: Tensor, basis: Shared | tuple[Tensor, ...]) -> None:
        """Project [KV heads, tokens, channels]. basis: directions and mean of the keys, then of the
        values.
        """
        self._basis = basis
        sides = (keys, values)
        self._codes = [coefficients(*pair) for pair in zip(sides, self._bases(), strict=True)]
        self._windows = [torch.empty_like(side[:, :0]) for side in sides]

    def _bases(self) -> tuple[Basis, Basis]:
        parts = self._basis.tensors if isinstance(self._basis, Shared) else self._basis
        return Basis(*parts[:2]), Basis(*parts[2:])

    @property
    def tokens(self) -> int:
        """See `StoredLayer`."""
        return self._codes[0].shape[1] + self._windows[0].shape[1]

    def append(self, keys: Tensor, values: Tensor) -> None:
        """See `StoredLayer`."""
        pairs = zip(self._windows, (keys, values), strict=True)
        self._windows = [torch.cat(pair, dim=1) for pair in pairs]

    def read(self) -> tuple[Tensor, Tensor]:
        """See `StoredLayer`."""
        parts = zip(self._codes, self._bases(), self._windows, strict=True)
        keys, values = (torch.cat([restored(c, b), new], dim=1) for c, b, new in parts)
        return keys, values

    def tensors(self) -> Mapping[Component, Sequence[Tensor]]:
        """See `StoredLayer`."""
        basis = () if isinstance(self._basis, Shared) else self._basis
        return {"codes": self._codes, "basis": basis, "window": self._windows}
