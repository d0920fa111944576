"""Pruning of vision tokens by their energy: the paper's, by itself and within `token`."""

from __future__ import annotations

import torch
from torch import Tensor

from freqexp.coding.grid import on_grid
from freqexp.errors import fault
from freqexp.nouns.vision import VisionTokens
from freqexp.tokens.scorer import Scorer

NORMS = {"l2": 2, "l1": 1}


class EnergyPrune(Scorer):
    """Keep the tokens that depart most from the page's mean token, in the norm `energy`.

    What is meant by a token's energy, and why, is said in `freqexp.tokens.dct.TokenDct`. Energies
    are rounded to 2^-30 of the page's largest departure plus its mean token.
    """

    def __init__(self, keep_ratio: float = 0.5, energy: str = "l2") -> None:
        super().__init__(
            keep_ratio, *([] if energy in NORMS else [fault("energy", energy, ", ".join(NORMS))])
        )
        self._norm = NORMS.get(energy, 2)

    def score(self, tokens: VisionTokens) -> Tensor:
        """See `energies`."""
        return self.energies(tokens.features.double())

    def energies(self, features: Tensor) -> Tensor:
        """Of tokens float64 [N, channels]; the norm ranks as its square does."""
        mean = features.mean(dim=0)
        energy = torch.linalg.vector_norm(features - mean, ord=self._norm, dim=1)
        scale = energy.amax() + torch.linalg.vector_norm(mean, ord=self._norm)
        return on_grid(energy / scale.clamp_min(torch.finfo(scale.dtype).tiny))
