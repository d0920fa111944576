"""What methods that leave fewer vision tokens share: checks, the count, and the result."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from freqexp.coding.share import kept_count
from freqexp.errors import UserError, fault
from freqexp.nouns.vision import CompressedTokens, Signal, VisionTokens
from freqexp.tokens.bitstream import StoredTokens, store


def check_tokens(tokens: VisionTokens) -> None:
    """Raises ValueError when the features do not fit the grid or its places, or are not floating,
    and UserError when they hold NaN or infinity.
    """
    rows, columns = tokens.grid
    shape = tuple(tokens.features.shape)
    count = rows * columns if tokens.places is None else len(tokens.places)
    if len(shape) != 2 or rows < 1 or columns < 1 or shape[0] != count:
        wanted = f"{rows} * {columns}" if tokens.places is None else str(count)
        raise ValueError(f"features: got shape {shape}, allowed: [{wanted}, channels]")
    if not tokens.features.is_floating_point():
        raise ValueError(f"features: got {tokens.features.dtype}, allowed: a floating dtype")
    if not torch.isfinite(tokens.features.sum(dtype=torch.float64)):
        raise UserError("vision tokens: the features hold NaN or infinity; try a wider dtype")


def signal_of(tokens: VisionTokens, name: Signal) -> Tensor:
    """A signal that came with a page's tokens. Raises ValueError without it."""
    if name not in tokens.signals:
        got = ", ".join(tokens.signals) or "no signals"
        raise ValueError(f"signals: got {got}, allowed: those with {name}, which this method needs")
    return tokens.signals[name]


def pixels_of(tokens: VisionTokens) -> Tensor:
    """The page's pixels at each token's place. Raises ValueError, see `check_pixels`."""
    pixels = signal_of(tokens, "pixels")
    check_pixels(pixels, tokens.grid)
    return pixels


def check_pixels(pixels: Tensor, grid: tuple[int, int]) -> None:
    """Raises ValueError for pixels that are not uint8 [rows * columns, height, width, 3]."""
    shape, count = tuple(pixels.shape), grid[0] * grid[1]
    fits = len(shape) == 4 and shape[0] == count and shape[3] == 3 and 0 not in shape
    if not fits or pixels.dtype is not torch.uint8:
        wanted = f"uint8 [{grid[0]} * {grid[1]}, height, width, 3]"
        raise ValueError(f"pixels: got {pixels.dtype} {shape}, allowed: {wanted}")


def budget_of(tokens: VisionTokens, keep_ratio: float) -> int:
    """How many of a page's tokens stay: its budget, or `kept_count` without one.

    Raises ValueError for a budget that the page has not as many tokens for.
    """
    return staying(tokens.grid[0] * tokens.grid[1], tokens.budget, keep_ratio, "page")


def staying(size: int, budget: int | None, keep_ratio: float, owner: str) -> int:
    """How many of `size` tokens stay: the budget, or `kept_count` without one.

    owner: whose tokens they are, in words. Raises ValueError for a budget outside 1 to `size`.
    """
    if budget is None:
        return kept_count(size, keep_ratio)
    if not 1 <= budget <= size:
        raise ValueError(fault("keep_tokens", budget, f"1 to the {owner}'s {size} tokens"))
    return budget


def kept_tokens(
    features: Tensor,
    kept: Tensor,
    grid: tuple[int, int],
    deepstack: tuple[Tensor, ...] = (),
) -> CompressedTokens:
    """Tokens [K, channels] at places `kept` of a grid, stored in their own dtype.

    deepstack: of methods that merge, see `merged_tokens`; () elsewhere, where these features follow
    `kept` by themselves.
    """
    stored = StoredTokens(grid, features.shape[1], features.dtype, kept, values=features)
    data, components = store(stored)
    ratio = grid[0] * grid[1] / len(kept)
    return CompressedTokens(
        features,
        kept,
        grid,
        ratio,
        stored_bytes=len(data),
        deepstack=deepstack,
        components=components,
    )


def pruned_tokens(tokens: VisionTokens, kept: Tensor) -> CompressedTokens:
    """The tokens at places `kept`, int64 [K] in raster order; their features bit for bit."""
    return kept_tokens(tokens.features.index_select(0, kept), kept, tokens.grid)


def whole(tokens: VisionTokens) -> CompressedTokens:
    """All tokens as they are."""
    kept = torch.arange(len(tokens.features), device=tokens.features.device)
    return kept_tokens(tokens.features, kept, tokens.grid, tokens.deepstack)


def merged_tokens(
    tokens: VisionTokens, kept: Tensor, merge: Callable[[Tensor], Tensor]
) -> CompressedTokens:
    """What `merge`, a linear map of float64 [N, channels] to [K, channels], makes of the features
    and of each level of the deep stack, at places `kept`, int64 [K] in raster order.
    """
    levels = [
        merge(level.double()).to(level.dtype) for level in (tokens.features, *tokens.deepstack)
    ]
    return kept_tokens(levels[0], kept, tokens.grid, tuple(levels[1:]))
