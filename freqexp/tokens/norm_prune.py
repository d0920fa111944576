"""Pruning of vision tokens by their norm."""

from __future__ import annotations

import torch

from freqexp.coding.grid import on_grid
from freqexp.coding.share import check_keep_ratio
from freqexp.errors import ConfigError, fault
from freqexp.nouns.vision import CompressedTokens, VisionTokens
from freqexp.tokens.base import TokenCompressor
from freqexp.tokens.kept import budget_of, check_tokens, pruned_tokens

KEEP = ("largest", "smallest")


class NormPrune(TokenCompressor):
    """Keep the tokens of the largest Euclidean norm, or of the smallest.

    Large norms mark text in some encoders (RTPrune, arXiv 2605.00392) and tokens without content
    in others, so which end to keep is to be tried for each model. Norms that differ by less than
    2^-30 of the largest are equal, and equal ones go by raster position.
    """

    def __init__(self, keep_ratio: float = 0.5, keep: str = "largest") -> None:
        """Check and keep the settings.

        keep_ratio: share of the tokens kept, in (0, 1]. keep: "largest" or "smallest".

        Raises:
            ConfigError: a value is outside what is allowed; names all such values.
        """
        faults = check_keep_ratio(keep_ratio)
        if keep not in KEEP:
            faults.append(fault("keep", keep, ", ".join(KEEP)))
        if faults:
            raise ConfigError(faults)
        self.simulated = keep_ratio == 1
        self._keep_ratio = keep_ratio
        self._descending = keep == "largest"

    def compress(self, tokens: VisionTokens) -> CompressedTokens:
        """Compress one page's tokens; features [N, channels] -> [K, channels].

        Raises ValueError and UserError, see `check_tokens` and `budget_of`.
        """
        check_tokens(tokens)
        norm = torch.linalg.vector_norm(tokens.features.double(), dim=1)
        rank = on_grid(norm / norm.amax().clamp_min(torch.finfo(norm.dtype).tiny))
        order = torch.sort(rank, descending=self._descending, stable=True).indices
        return pruned_tokens(tokens, order[: budget_of(tokens, self._keep_ratio)].sort().values)
