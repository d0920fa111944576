"""Keys and values as few coefficients of a basis: smaller tokens, none leaves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from freqexp.coding.share import check_keep_ratio
from freqexp.errors import BudgetError, ConfigError, fault
from freqexp.kv.base import KVMethod, check_layer, in_scope
from freqexp.kv.principal import Basis, coefficients, principal, restored
from freqexp.kv.stored import Exact, at, beside_text
from freqexp.nouns.cache import Asked, Component, LayerCache, StoredLayer


class LowRank(KVMethod):
    """Principal components of keys and of values, each KV head by itself: the training-free form of
    Eigen Attention (arXiv 2408.05646) and MatryoshkaKV (arXiv 2410.14731).

    Of the T tokens [T, d] in scope r coefficients each are held, their basis [r, d] and their mean
    [d]; r is the largest that takes no more than `keep_ratio` of the numbers: r T + r d + d of T d.
    At keep_ratio 1 they stay as they are, as new tokens do at any.
    """

    def __init__(
        self, keep_ratio: float = 0.5, scope: str = "all", question: Asked = "unseen"
    ) -> None:
        """Check and keep the settings. scope: "all" tokens, or those of pages: "vision".

        Raises ConfigError naming every value outside what is allowed.
        """
        faults = check_keep_ratio(keep_ratio)
        if scope not in ("all", "vision"):
            faults.append(fault("scope", scope, "all, vision"))
        if faults:
            raise ConfigError(faults)
        super().__init__(question)
        self.simulated = keep_ratio == 1
        self._keep_ratio, self._scope = keep_ratio, scope

    def rank(self, tokens: int, channels: int) -> int:
        """Coefficients of a token. Raises BudgetError where no basis of one direction fits."""
        room = self._keep_ratio * tokens * channels - channels
        rank = math.floor(room / (tokens + channels))
        if rank >= 1:
            return rank
        least = (tokens + 2 * channels) / (tokens * channels)
        allowed = f"{math.ceil(least * 1e4) / 1e4:g} or more" if least < 1 else "1"
        of = f"{tokens} tokens of {channels} channels"
        raise BudgetError(fault("keep_ratio", self._keep_ratio, f"{allowed} for {of}"))

    def compress(self, layer: LayerCache) -> StoredLayer:
        """See `KVMethod`. Raises BudgetError for too few tokens in scope, besides."""
        check_layer(layer)
        keys, values = layer.keys, layer.values
        scope = in_scope(layer, self._scope)
        if self.simulated:
            return Exact(keys, values)
        if self._scope == "vision":
            keys, values = at(keys, scope), at(values, scope)
        sides = (keys, values)
        bases = [principal(side, self.rank(*side.shape[1:])) for side in sides]
        stored = Projected(sides, bases)
        return stored if self._scope == "all" else beside_text(stored, layer)


class Projected:
    """Keys and values as coefficients [KV heads, tokens, r], and new tokens as they are."""

    def __init__(self, sides: Sequence[Tensor], bases: Sequence[Basis]) -> None:
        """Project. sides: keys and values [KV heads, tokens, channels]; bases: of each."""
        self._bases = tuple(bases)
        self._codes = [coefficients(*pair) for pair in zip(sides, bases, strict=True)]
        self._windows = [torch.empty_like(side[:, :0]) for side in sides]

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
        parts = zip(self._codes, self._bases, self._windows, strict=True)
        keys, values = (torch.cat([restored(c, b), new], dim=1) for c, b, new in parts)
        return keys, values

    def tensors(self) -> Mapping[Component, Sequence[Tensor]]:
        """See `StoredLayer`."""
        basis = [part for each in self._bases for part in each]
        return {"codes": self._codes, "basis": basis, "window": self._windows}
