"""Pruning of vision tokens by their norm."""

from __future__ import annotations

import torch
from torch import Tensor

from freqexp.coding.grid import on_grid
from freqexp.errors import fault
from freqexp.nouns.vision import VisionTokens
from freqexp.tokens.scorer import Scorer

KEEP = ("largest", "smallest")


class NormPrune(Scorer):
    """Keep the tokens of the largest Euclidean norm, or of the smallest.

    Large norms mark text in some encoders (RTPrune, arXiv 2605.00392) and tokens without content
    in others, so which end to keep is to be tried for each model. Norms that differ by less than
    2^-30 of the largest are equal.
    """

    def __init__(self, keep_ratio: float = 0.5, keep: str = "largest") -> None:
        super().__init__(
            keep_ratio, *([fault("keep", keep, ", ".join(KEEP))] if keep not in KEEP else [])
        )
        self._sign = 1 if keep == "largest" else -1

    def score(self, tokens: VisionTokens) -> Tensor:
        """The norm as a share of the largest, or minus that."""
        norm = torch.linalg.vector_norm(tokens.features.double(), dim=1)
        return self._sign * on_grid(norm / norm.amax().clamp_min(torch.finfo(norm.dtype).tiny))
