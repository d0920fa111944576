"""Resampling of vision tokens to a smaller grid by their low frequencies."""

from __future__ import annotations

import math

from torch import Tensor

from freqexp.coding.transforms import dct_matrix
from freqexp.nouns.vision import CompressedTokens, VisionTokens
from freqexp.tokens.kept import check_tokens, whole
from freqexp.tokens.scorer import ShareCompressor
from freqexp.tokens.smaller_grid import resampled, smaller_grid


class DctResample(ShareCompressor):
    """Low-pass and resample the grid (Fourier-VLM, arXiv 2508.06038).

    Orthonormal 2-D DCT-II of each channel over the page's H x W tokens; the h x w lowest
    frequencies stay; the inverse DCT of size h x w makes h w tokens. h and w: see `smaller_grid`.

    correct: multiply by sqrt(h w / (H W)), so that a constant field keeps its value. Without it
    (the published form, for which weights were trained) all tokens grow by the inverse.
    Tokens lie at the centres of what they stand for, on the positions of the full grid; the paper
    numbers the new grid instead.
    """

    fills_budget = False
    nested = False

    def __init__(self, keep_ratio: float = 0.5, correct: bool = True) -> None:
        """Check and keep the settings. Raises ConfigError for a keep ratio outside (0, 1]."""
        super().__init__(keep_ratio)
        self._correct = correct

    def compress(self, tokens: VisionTokens) -> CompressedTokens:
        """Compress one page's tokens; features [N, channels] -> [h w, channels].

        Raises ValueError and UserError, see `check_tokens` and `budget_of`.
        """
        check_tokens(tokens)
        shape = smaller_grid(tokens.grid, self.count(tokens))
        if shape == tokens.grid:
            return whole(tokens)
        down, across = (
            self._low_pass(size, count) for size, count in zip(tokens.grid, shape, strict=True)
        )
        return resampled(tokens, down, across)

    def _low_pass(self, size: int, count: int) -> Tensor:
        """The map [count, size] of one dimension."""
        low = dct_matrix(count).T @ dct_matrix(size)[:count]
        return low * math.sqrt(count / size) if self._correct else low
