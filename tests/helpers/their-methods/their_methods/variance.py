"""A token compressor."""

from __future__ import annotations

from torch import Tensor

from freqexp.nouns.vision import VisionTokens
from freqexp.tokens.scorer import Scorer


class Variance(Scorer):
    """Keep the tokens whose channels vary most."""

    def __init__(self, keep_ratio: float = 0.5, center: bool = False) -> None:
        super().__init__(keep_ratio)
        self._center = center

    def score(self, tokens: VisionTokens) -> Tensor:
        """The variance over the channels."""
        features = tokens.features.double()
        if self._center:
            features = features - features.mean(dim=0)
        return features.var(dim=1, correction=0)
