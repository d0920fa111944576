"""Random eviction: the control that any score must beat."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from freqexp.errors import fault
from freqexp.kv.evict import Eviction, Evictor
from freqexp.nouns.cache import LayerCache


class KVRandom(Evictor):
    """Tokens drawn without replacement, each layer and KV head its own.

    The draw depends on `seed`, the layer's number and the number of tokens, not on their contents,
    which a batch rounds in another way.
    """

    def __init__(self, settings: Eviction, seed: int = 0) -> None:
        """Keep the settings. seed: another draw, 0 or more. Raises ConfigError."""
        super().__init__(settings, *([fault("seed", seed, "0 or more")] if seed < 0 else []))
        self._seed = seed

    def score(self, layer: LayerCache) -> Tensor:
        """Uniform noise."""
        heads, tokens = layer.keys.shape[:2]
        random = np.random.Generator(np.random.PCG64([self._seed, layer.number, tokens]))
        return torch.from_numpy(random.random((heads, tokens))).to(layer.keys.device)
