"""SnapKV: the tokens that the last queries of the prompt attend to."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from freqexp.coding.grid import on_grid
from freqexp.errors import BudgetError, fault
from freqexp.kv.evict import Eviction, Evictor
from freqexp.nouns.cache import LayerCache

POOLINGS = ("avg", "max")


class SnapKV(Evictor):
    """Keep the last `window` tokens of the prompt, and of those before them the ones that these
    attend to most (arXiv 2404.14469, section 4 and listing 1).

    A token's score is its attention from the window's queries, the softmax over all keys up to each
    query's own: mean over the query heads of a KV head, sum over the window, then pooled over
    `kernel` neighbours before the window. As in the paper's code, an average counts what lies
    beyond an end as 0. Float64; scores are rounded to 2^-16 of themselves.
    """

    holds = "window"

    def __init__(
        self, settings: Eviction, window: int = 16, kernel: int = 5, pooling: str = "avg"
    ) -> None:
        """Keep the settings. window: 1 or more. kernel: odd, 1 or more. Raises ConfigError."""
        faults = [fault("window", window, "1 or more")] if window < 1 else []
        if kernel < 1 or kernel % 2 == 0:
            faults.append(fault("kernel", kernel, "an odd number, 1 or more"))
        if pooling not in POOLINGS:
            faults.append(fault("pooling", pooling, ", ".join(POOLINGS)))
        super().__init__(settings, *faults)
        self.queries = window
        self._kernel = kernel
        self._pooling = pooling

    def always(self, layer: LayerCache) -> Tensor:
        """The window. Raises BudgetError for a prompt that is shorter."""
        tokens = len(layer.vision)
        if self.queries > tokens:
            allowed = f"at most the {tokens} tokens of the prompt that are compressed"
            raise BudgetError(fault("compressor.window", self.queries, allowed))
        return torch.arange(tokens, device=layer.vision.device) >= tokens - self.queries

    def score(self, layer: LayerCache) -> Tensor:
        """The logarithm of the pooled attention, 0 in the window.

        Raises ValueError for queries of another shape than the layer's and the window's.
        """
        attention = window_attention(layer, self.queries)[:, : -self.queries]
        if attention.shape[1]:
            pool = functional.avg_pool1d if self._pooling == "avg" else functional.max_pool1d
            attention = pool(attention, self._kernel, stride=1, padding=self._kernel // 2)
        tiny = torch.finfo(attention.dtype).tiny
        # What is near in the logarithm is near as a share.
        logarithm = on_grid(attention.clamp_min(tiny).log(), 16)
        return functional.pad(logarithm, (0, self.queries))


def window_attention(layer: LayerCache, window: int) -> Tensor:
    """float64 [KV heads, L]: attention from the last `window` tokens, summed over them, mean over
    the query heads of each KV head. Sums to `window` in each.
    """
    heads, tokens, channels = layer.keys.shape
    given = None if layer.queries is None else tuple(layer.queries.shape)
    if layer.queries is None or given != (len(layer.queries), window, channels):
        allowed = f"[heads, {window}, {channels}]"
        raise ValueError(f"queries: got {given}, allowed: {allowed}")
    if len(layer.queries) % heads:
        raise ValueError(f"queries: got {given}, allowed: a multiple of the {heads} KV heads")
    device = layer.keys.device
    hidden = torch.ones(window, tokens, dtype=torch.bool, device=device)
    hidden = hidden.triu_(tokens - window + 1)
    found = []
    # One KV head at a time: the logits of all of them would be larger than the layer.
    groups = layer.queries.unflatten(0, (heads, -1))
    for queries, keys in zip(groups, layer.keys, strict=True):
        logits = queries.double() @ keys.double().T * layer.scale
        weights = torch.softmax(logits.masked_fill_(hidden, -torch.inf), dim=-1)
        found.append(weights.mean(dim=0).sum(dim=0))
    return torch.stack(found)
