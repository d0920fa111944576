"""The tokens that depart from the smooth part of the cache."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from freqexp.coding.grid import on_grid
from freqexp.coding.long_dct import long_dct, long_idct
from freqexp.coding.share import kept_count
from freqexp.errors import fault
from freqexp.kv.checks import check_layer, in_scope
from freqexp.kv.evict import Eviction, Evictor
from freqexp.nouns.cache import LayerCache

LAYERS = ("flat", "energy")


class DctOutlier(Evictor):
    """FlashCache (arXiv 2511.16786): of the N tokens in scope, keys and values of each
    head and channel are transformed along the tokens (orthonormal DCT-II), the lowest
    floor(gamma N + 0.5) coefficients (at least 1) are a smooth base, and the tokens farthest from
    it stay. A token's score is the mean over channels of (key - base)^2, plus that of its value.

    layers: "flat", every layer keeps its K; or "energy", what all layers keep together is shared
    out by `high_share`, see `shared_out`. Scores are rounded to 2^-20 of the mean square of a
    head's keys plus that of its values.
    """

    def __init__(self, settings: Eviction, gamma: float = 0.2, layers: str = "flat") -> None:
        """Keep the settings. gamma: above 0, below 1. Raises ConfigError."""
        faults = [] if 0 < gamma < 1 else [fault("gamma", gamma, "above 0, below 1")]
        if layers not in LAYERS:
            faults.append(fault("layers", layers, ", ".join(LAYERS)))
        super().__init__(settings, *faults)
        self.all_layers = layers == "energy"
        # Where one token more is shared out by largest remainders, a layer may get one less.
        self.nested = not self.all_layers
        self._gamma = gamma

    def plan(self, layers: Sequence[LayerCache]) -> list[int]:
        """See `CacheCompressor`. Raises what `compress` raises, and ValueError for no layers."""
        if not self.all_layers:
            return super().plan(layers)
        if not layers:
            raise ValueError("layers: got none, allowed: at least one")
        most, flat, shares = [], [], []
        for layer in layers:
            check_layer(layer)
            scope = in_scope(layer, self.settings.scope)
            most.append(len(scope))
            flat.append(self.count(layer, len(scope)))
            shares.append(self.high_share(layer, scope))
        return shared_out(sum(flat), shares, most)

    def score(self, layer: LayerCache) -> Tensor:
        """The departure in mean squares; 0 out of scope."""
        scope = in_scope(layer, self.settings.scope)
        departure = layer.keys.new_zeros(len(layer.keys), len(scope), dtype=torch.float64)
        whole = departure[:, :1].clone()
        for numbers in (layer.keys, layer.values):
            spectrum = _spectrum(numbers, scope)
            whole += spectrum.square().mean(dim=(1, 2))[:, None]
            spectrum[..., : self._low(len(scope))] = 0
            departure += long_idct(spectrum).square().mean(dim=1)
        tiny = torch.finfo(torch.float64).tiny
        relative = on_grid(departure / whole.clamp_min(tiny), 20)
        return relative.new_zeros(layer.keys.shape[:2]).index_copy_(1, scope, relative)

    def high_share(self, layer: LayerCache, scope: Tensor) -> float:
        """In [0, 2]: which share of the energy of a layer's keys in scope is above the base, plus
        that of its values. In steps of 2^-20; a layer of zeros has none.
        """
        share = 0.0
        for numbers in (layer.keys, layer.values):
            energy = _spectrum(numbers, scope).square().sum(dim=(0, 1))
            whole = float(energy.sum())
            share += float(energy[self._low(len(scope)) :].sum()) / whole if whole else 0.0
        return math.floor(share * 2**20 + 0.5) / 2**20

    def _low(self, tokens: int) -> int:
        return kept_count(tokens, self._gamma)


def shared_out(total: int, shares: Sequence[float], most: Sequence[int]) -> list[int]:
    """`total` in whole parts in proportion to `shares`, each at least 1 and at most `most`; by
    largest remainders, the first part first where they are equal.

    What a bound takes from a part or gives it is shared out among the others in proportion. total:
    from the number of parts to the sum of `most`. Equal parts where all shares are 0.
    """
    largest = max(shares)
    # So that no share is too small to grow into what the others may not take.
    weights = [max(share / largest, 2.0**-20) if largest else 1.0 for share in shares]

    def parts(factor: float) -> list[float]:
        bounds = zip(weights, most, strict=True)
        return [min(max(factor * weight, 1.0), float(high)) for weight, high in bounds]

    low, high = 0.0, max(most) * 2.0**20
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if sum(parts(middle)) < total else (low, middle)
    # The bisection ends within 2^-50 of the numbers' size, and what is whole should be.
    wanted = [math.floor(part * 2**20 + 0.5) / 2**20 for part in parts(high)]
    counts = [math.floor(part) for part in wanted]
    remainders = [part - count for part, count in zip(wanted, counts, strict=True)]
    order = sorted(range(len(counts)), key=lambda part: -remainders[part])
    for part in order[: total - sum(counts)]:
        counts[part] += 1
    return counts


def _spectrum(numbers: Tensor, scope: Tensor) -> Tensor:
    """[KV heads, L, channels] -> float64 [KV heads, channels, N], by frequency."""
    return long_dct(numbers.index_select(1, scope).double().transpose(1, 2))
