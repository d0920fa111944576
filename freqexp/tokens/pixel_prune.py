"""Removal of tokens whose pixels a neighbour predicts."""

from __future__ import annotations

import torch
from torch import Tensor

from freqexp.errors import ConfigError, fault
from freqexp.nouns.vision import CompressedTokens, Signal, VisionTokens
from freqexp.tokens.base import TokenCompressor
from freqexp.tokens.kept import (
    check_pixels,
    check_tokens,
    kept_tokens,
    pixels_of,
    pruned_tokens,
)

MOST = 255


class PixelPrune(TokenCompressor):
    """Keep the tokens whose pixels their neighbours do not predict (PixelPrune, arXiv 2604.00886).

    The predictor (pred-2D) of a token with left neighbour A, upper one B and upper left one C is B
    where C is like A and not like B (a vertical edge goes on), else A; in the first row A, in the
    first column B. A token stays if one of its values is more than `threshold` gray levels from the
    predictor's, and the first one always does; two tokens are alike within the same bound. Above 0
    the neighbours are what is left of them, the predictor's pixels where they were dropped, so
    errors do not add up along a row. How many stay is up to the page.

    before_encoder: tokens are dropped before the vision encoder, which then costs less; its other
    tokens do not see them.
    """

    simulated = False
    signals: tuple[Signal, ...] = ("pixels",)
    adaptive = True

    def __init__(self, threshold: int = 0, before_encoder: bool = False) -> None:
        """Check and keep the settings. Raises ConfigError for a threshold outside 0 to 255."""
        if not 0 <= threshold <= MOST:
            raise ConfigError([fault("threshold", threshold, f"gray levels from 0 to {MOST}")])
        self.before_encoder = before_encoder
        self._threshold = threshold

    def choose(self, pixels: Tensor, grid: tuple[int, int]) -> Tensor:
        """Raster positions int64 [kept] of what the predictor misses; pixels [N, ..., values].

        Raises ValueError, see `check_pixels`.
        """
        check_pixels(pixels, grid)
        values = pixels.flatten(1).short()
        if self._threshold == 0:
            # What was dropped equals its predictor: every neighbour is known beforehand.
            places = torch.arange(len(values), device=values.device)
            missed = _apart(values, predicted(values, places, grid[1], 0), 0)
            missed[0] = True
        else:
            missed = torch.ones(len(values), dtype=torch.bool, device=values.device)
            left = values.clone()
            for places in diagonals(grid, values.device):
                guess = predicted(left, places, grid[1], self._threshold)
                missed[places] = _apart(values[places], guess, self._threshold)
                left[places] = torch.where(missed[places, None], values[places], guess)
        return missed.nonzero()[:, 0]

    def compress(self, tokens: VisionTokens) -> CompressedTokens:
        """Compress one page's tokens; features [N, channels] -> [K, channels].

        Raises ValueError and UserError, see `check_tokens` and `pixels_of`; ValueError where tokens
        were to be dropped before the encoder and were not.
        """
        check_tokens(tokens)
        if not self.before_encoder:
            return pruned_tokens(tokens, self.choose(pixels_of(tokens), tokens.grid))
        if tokens.places is None:
            raise ValueError(fault("places", None, "those of the tokens that reached the encoder"))
        return kept_tokens(tokens.features, tokens.places, tokens.grid)


def predicted(values: Tensor, places: Tensor, columns: int, threshold: int) -> Tensor:
    """Predictors int16 [n, P] of the tokens at raster positions `places` int64 [n], from the values
    int16 [N, P] of all tokens; the first token is its own.
    """
    row, column = places // columns, places % columns
    left, up = values[(places - 1).clamp_min(0)], values[(places - columns).clamp_min(0)]
    corner = values[(places - columns - 1).clamp_min(0)]
    from_above = ~_apart(corner, left, threshold) & _apart(corner, up, threshold)
    from_above = (column == 0) | (row > 0) & from_above
    guess = torch.where(from_above[:, None], up, left)
    return torch.where((places == 0)[:, None], values[:1], guess)


def rebuilt(pixels: Tensor, kept: Tensor, grid: tuple[int, int], threshold: int = 0) -> Tensor:
    """The pixels of all tokens, [N, ...] uint8, from those of the kept ones, [K, ...] uint8, at
    raster positions `kept` int64 [K]: each within the threshold of the page's own.
    """
    values = torch.zeros((grid[0] * grid[1], pixels[0].numel()), dtype=torch.int16)
    values = values.to(pixels.device)
    values[kept] = pixels.flatten(1).short()
    dropped = torch.ones(len(values), dtype=torch.bool, device=pixels.device)
    dropped[kept] = False
    for places in diagonals(grid, pixels.device):
        missing = places[dropped[places]]
        values[missing] = predicted(values, missing, grid[1], threshold)
    return values.to(torch.uint8).view(-1, *pixels.shape[1:])


def diagonals(grid: tuple[int, int], device: torch.device) -> list[Tensor]:
    """Raster positions of each anti-diagonal but the first token's. Neighbours to the left and
    above lie on earlier ones.
    """
    rows, columns = grid
    every = torch.arange(rows * columns, device=device)
    number = every // columns + every % columns
    return [every[number == at] for at in range(1, rows + columns - 1)]


def _apart(one: Tensor, other: Tensor, threshold: int) -> Tensor:
    """Whether tokens [n, P] differ by more than a threshold in one of their values: bool [n]."""
    return (one - other).abs().amax(dim=1) > threshold
