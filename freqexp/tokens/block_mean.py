"""Means over blocks of vision tokens: pooling as everybody knows it, a control."""

from __future__ import annotations

import torch
from torch import Tensor

from freqexp.nouns.vision import CompressedTokens, VisionTokens
from freqexp.tokens.kept import check_tokens, whole
from freqexp.tokens.scorer import ShareCompressor
from freqexp.tokens.smaller_grid import resampled, smaller_grid


class BlockMean(ShareCompressor):
    """Average the tokens of each of h x w blocks of the page's H x W grid.

    Block i of h covers the rows from floor(i H / h) to before floor((i + 1) H / h), and columns
    alike; h and w: see `smaller_grid`. A quarter of an even grid is 2 x 2 average pooling. Means
    are taken in float64.
    """

    fills_budget = False
    nested = False

    def compress(self, tokens: VisionTokens) -> CompressedTokens:
        """Compress one page's tokens; features [N, channels] -> [h w, channels].

        Raises ValueError and UserError, see `check_tokens` and `budget_of`.
        """
        check_tokens(tokens)
        shape = smaller_grid(tokens.grid, self.count(tokens))
        if shape == tokens.grid:
            return whole(tokens)
        down, across = (means(size, count) for size, count in zip(tokens.grid, shape, strict=True))
        return resampled(tokens, down, across)


def means(size: int, count: int) -> Tensor:
    """The map [count, size] of `size` numbers to the means of their `count` blocks, float64."""
    edges = torch.arange(count + 1) * size // count
    place, block = torch.arange(size), torch.arange(count)[:, None]
    inside = (place >= edges[block]) & (place < edges[block + 1])
    return inside.double() / inside.sum(dim=1, keepdim=True)
