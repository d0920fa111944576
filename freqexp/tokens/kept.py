"""What pruning and pooling of vision tokens share: checks, the count, and the result."""

from __future__ import annotations

import math

from torch import Tensor

from freqexp.errors import fault
from freqexp.nouns.vision import CompressedTokens, VisionTokens
from freqexp.tokens.bitstream import StoredTokens, store
from freqexp.tokens.coefficients import RingsOf


def check_keep_ratio(keep_ratio: float) -> list[str]:
    """One line when the share of tokens kept is outside (0, 1]."""
    return [] if 0 < keep_ratio <= 1 else [fault("keep_ratio", keep_ratio, "above 0, at most 1")]


def check_tokens(tokens: VisionTokens) -> None:
    """Raises ValueError when the features do not fit the grid, or are not floating."""
    rows, columns = tokens.grid
    shape = tuple(tokens.features.shape)
    if len(shape) != 2 or rows < 1 or columns < 1 or shape[0] != rows * columns:
        raise ValueError(f"features: got shape {shape}, allowed: [{rows} * {columns}, channels]")
    if not tokens.features.is_floating_point():
        raise ValueError(f"features: got {tokens.features.dtype}, allowed: a floating dtype")


def kept_count(tokens: int, keep_ratio: float) -> int:
    """How many tokens stay: floor(keep_ratio tokens + 0.5), at least 1."""
    return max(1, math.floor(keep_ratio * tokens + 0.5))


def kept_tokens(features: Tensor, kept: Tensor, grid: tuple[int, int]) -> CompressedTokens:
    """Tokens [K, channels] at places `kept` of a grid, stored in their own dtype."""
    stored = StoredTokens(grid, features.shape[1], features.dtype, kept, values=features)
    # Tokens that are stored as they are have no bands.
    data, components = store(stored, RingsOf((0.0, 0.0)))
    ratio = grid[0] * grid[1] / len(kept)
    return CompressedTokens(
        features, kept, grid, ratio, stored_bytes=len(data), components=components
    )
