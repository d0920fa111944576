"""Random pruning of vision tokens: the control that any method of choosing tokens must beat."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor

from freqexp.errors import fault
from freqexp.nouns.vision import VisionTokens
from freqexp.tokens.coefficients import raw_bytes
from freqexp.tokens.scorer import Scorer


class RandomPrune(Scorer):
    """Keep K tokens drawn without replacement: the first K of a permutation of the N places.

    The draw depends on `seed`, 0 or more, and on the features themselves: pages differ in what
    they lose, and the same page always loses the same.
    """

    def __init__(self, keep_ratio: float = 0.5, seed: int = 0) -> None:
        super().__init__(keep_ratio, *([fault("seed", seed, "0 or more")] if seed < 0 else []))
        self._seed = seed

    def score(self, tokens: VisionTokens) -> Tensor:
        """Minus the place in the permutation."""
        plain = raw_bytes(tokens.features.detach().cpu().contiguous()).numpy()
        digest = hashlib.sha256(plain.tobytes()).digest()
        entropy = [self._seed, *np.frombuffer(digest, dtype="<u4").tolist()]
        order = np.random.Generator(np.random.PCG64(entropy)).permutation(len(tokens.features))
        return -torch.from_numpy(np.argsort(order)).to(tokens.features.device)
