"""Average pooling of vision tokens: the control that needs no choice of tokens."""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from freqexp.nouns.vision import CompressedTokens, VisionTokens
from freqexp.tokens.kept import check_tokens, merged_tokens
from freqexp.tokens.scorer import ShareCompressor

Places = npt.NDArray[np.int64]


class Pool(ShareCompressor):
    """Average every token into the nearest of K = floor(keep_ratio N + 0.5) places (at least 1).

    The places are spread evenly by farthest-point sampling of the grid (Gonzalez 1985): each next
    one is the place whose nearest chosen place is farthest away, in squared Euclidean distance, the
    first is that nearest to the grid's centre, and ties go by raster position. So a quarter is
    close to 2 x 2 pooling, any keep ratio is exact on any grid, and places at growing keep ratios
    are nested. A token that is as near to several places goes to the earliest in raster order.
    Means are taken in float64.
    """

    def compress(self, tokens: VisionTokens) -> CompressedTokens:
        """Compress one page's tokens; features [N, channels] -> [K, channels].

        `stored_bytes` is the length of a bitstream of the pooled tokens and their places,
        `nominal_ratio` is N / K.

        Raises:
            ValueError: see `check_tokens` and `budget_of`.
        """
        check_tokens(tokens)
        device = tokens.features.device
        places, groups = _pooling(tokens.grid, self.count(tokens))
        kept, nearest = torch.tensor(places, device=device), torch.tensor(groups, device=device)
        counts = torch.bincount(nearest, minlength=len(kept)).unsqueeze(1)

        def means(features: Tensor) -> Tensor:
            sums = features.new_zeros((len(kept), features.shape[1]))
            return sums.index_add_(0, nearest, features) / counts

        return merged_tokens(tokens, kept, means)


@functools.lru_cache(maxsize=64)
def _spread(grid: tuple[int, int]) -> Places:
    """All places of the grid in the order of farthest-point sampling: int64 [rows * columns]."""
    rows, columns = grid
    row, column = (index.reshape(-1) for index in np.indices(grid))
    # Twice the coordinates: the centre lies between places when a side is even.
    centre = (2 * row - rows + 1) ** 2 + (2 * column - columns + 1) ** 2
    order = np.empty(rows * columns, dtype=np.int64)
    distance = np.full(order.shape, np.iinfo(np.int64).max)
    chosen = int(np.argmin(centre))
    for at in range(len(order)):
        order[at] = chosen
        to_chosen = (row - row[chosen]) ** 2 + (column - column[chosen]) ** 2
        np.minimum(distance, to_chosen, out=distance)
        chosen = int(np.argmax(distance))
    order.flags.writeable = False
    return order


@functools.lru_cache(maxsize=64)
def _pooling(grid: tuple[int, int], count: int) -> tuple[Places, Places]:
    """The first `count` places in raster order, and for every place the index of the nearest."""
    places = np.sort(_spread(grid)[:count])
    everywhere = np.arange(grid[0] * grid[1])
    down = everywhere[:, np.newaxis] // grid[1] - places // grid[1]
    across = everywhere[:, np.newaxis] % grid[1] - places % grid[1]
    return places, np.argmin(down**2 + across**2, axis=1)
