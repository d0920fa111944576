"""Methods that leave a share of a page's vision tokens, as far as they are all alike.

A method that ranks tokens is a `Scorer`: its formula is `score`. One whose choice is no ranking is
a `Selector`, and one that makes other tokens of them a `ShareCompressor`.
"""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from freqexp.coding.share import check_keep_ratio
from freqexp.errors import ConfigError, UserError
from freqexp.nouns.vision import CompressedTokens, VisionTokens
from freqexp.tokens.base import TokenCompressor
from freqexp.tokens.kept import budget_of, check_tokens, pruned_tokens, signal_of, whole


class ShareCompressor(TokenCompressor):
    """Leaves K = floor(keep_ratio N + 0.5) of a page's N tokens (at least 1), or as many as its
    budget says.
    """

    def __init__(self, keep_ratio: float = 0.5, *faults: str) -> None:
        """Check and keep the share. faults: of the method's own settings, see `fault`.

        Raises ConfigError for a keep ratio outside (0, 1] and for these faults, all at once.
        """
        found = [*check_keep_ratio(keep_ratio), *faults]
        if found:
            raise ConfigError(found)
        self.simulated = keep_ratio == 1
        self._keep_ratio = keep_ratio

    def count(self, tokens: VisionTokens) -> int:
        """K. Raises ValueError for a budget outside 1 to N."""
        return budget_of(tokens, self._keep_ratio)


class Selector(ShareCompressor):
    """Keeps K tokens as they are, at their places, and stores them."""

    @abstractmethod
    def select(self, tokens: VisionTokens, count: int) -> Tensor:
        """Which tokens stay: `count` different places of a checked page, fewer than it has tokens,
        int64 [count] in any order.
        """

    def compress(self, tokens: VisionTokens) -> CompressedTokens:
        """Compress one page's tokens; features [N, channels] -> [K, channels].

        Raises ValueError and UserError, see `check_tokens`, `budget_of` and `signal_of`.
        """
        check_tokens(tokens)
        for name in self.signals:
            signal_of(tokens, name)
        count = self.count(tokens)
        if count == len(tokens.features):
            return whole(tokens)
        return pruned_tokens(tokens, self.select(tokens, count).sort().values)


class Scorer(Selector):
    """Keeps the K tokens with the highest scores. Equal scores go by raster position, the lower one
    first, so the sets kept at growing keep ratios are nested.
    """

    @abstractmethod
    def score(self, tokens: VisionTokens) -> Tensor:
        """Scores of a checked page's tokens, [N] of any real dtype. Nothing of the page is changed.

        Scores that should be equal and differ by rounding are best rounded (`coding.grid.on_grid`).
        """

    def select(self, tokens: VisionTokens, count: int) -> Tensor:
        """See `Selector`. Raises ValueError for scores of another shape, UserError for NaN."""
        scores = self.score(tokens)
        if scores.shape != (len(tokens.features),):
            allowed = f"[{len(tokens.features)}], one a token"
            raise ValueError(f"scores: got shape {list(scores.shape)}, allowed: {allowed}")
        if scores.isnan().any():
            raise UserError("vision tokens: the scores hold NaN; try a wider dtype")
        return highest(scores, count)


def highest(scores: Tensor, count: int) -> Tensor:
    """Places int64 [count] of the highest scores [N], falling; of equal ones the lower first."""
    return torch.sort(scores, descending=True, stable=True).indices[:count]
