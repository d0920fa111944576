"""A method on the KV cache."""

from __future__ import annotations

from torch import Tensor

from freqexp.coding.grid import on_grid
from freqexp.kv.evict import Evictor
from freqexp.nouns.cache import LayerCache


class SmallKeys(Evictor):
    """Keep the tokens whose keys are short (arXiv 2406.11430)."""

    def score(self, layer: LayerCache) -> Tensor:
        """Minus the norm of each key."""
        return on_grid(-layer.keys.double().norm(dim=2), 20)
