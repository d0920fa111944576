"""The first tokens and the last: the control for methods that look at what tokens say."""

from __future__ import annotations

import torch
from torch import Tensor

from freqexp.errors import fault
from freqexp.kv.checks import in_scope
from freqexp.kv.evict import Eviction, Evictor
from freqexp.nouns.cache import LayerCache


class SinkRecent(Evictor):
    """StreamingLLM (arXiv 2309.17453, section 3.2) at the end of the prompt: the first `sinks`
    tokens in scope and the K - sinks last ones, in each head alike.

    Unlike the paper, keys keep the rotation of their place in the prompt, and nothing leaves while
    the answer is written.
    """

    holds = "sinks"

    def __init__(self, settings: Eviction, sinks: int = 4) -> None:
        """Keep the settings. sinks: 0 or more. Raises ConfigError."""
        super().__init__(settings, *([fault("sinks", sinks, "0 or more")] if sinks < 0 else []))
        self._sinks = sinks

    def always(self, layer: LayerCache) -> Tensor:
        """The first `sinks` tokens in scope, or all where there are fewer."""
        first = in_scope(layer, self.settings.scope)[: self._sinks]
        return torch.zeros_like(layer.vision).index_fill_(0, first, True)

    def score(self, layer: LayerCache) -> Tensor:
        """The place."""
        heads, tokens = layer.keys.shape[:2]
        places = torch.arange(tokens, dtype=torch.float64, device=layer.keys.device)
        return places.expand(heads, -1)
