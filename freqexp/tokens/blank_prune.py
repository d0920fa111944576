"""Removal of tokens that show nothing."""

from __future__ import annotations

import torch
from torch import Tensor

from freqexp.nouns.vision import CompressedTokens, Signal, VisionTokens
from freqexp.tokens.base import TokenCompressor
from freqexp.tokens.kept import check_tokens, pixels_of, pruned_tokens


class BlankPrune(TokenCompressor):
    """Drop the tokens that show nothing but the page's background (as DocPrune, arXiv 2604.22281,
    does before the encoder).

    A token is blank if all of its pixels have the background's colour: the most common one among
    the tokens of a single colour, the smallest of several (by red, green, blue). A page without
    such tokens keeps all, and at least one token stays. How many stay is up to the page.

    line_ends: in every row the first blank token after all that is shown stays, too, so that rows
    still end, and empty ones are still there.
    """

    simulated = False
    signals: tuple[Signal, ...] = ("pixels",)
    adaptive = True

    def __init__(self, line_ends: bool = True) -> None:
        """Keep the setting."""
        self._line_ends = line_ends

    def compress(self, tokens: VisionTokens) -> CompressedTokens:
        """Compress one page's tokens; features [N, channels] -> [K, channels].

        Raises ValueError and UserError, see `check_tokens` and `pixels_of`.
        """
        check_tokens(tokens)
        stays = ~blank(pixels_of(tokens))
        if self._line_ends:
            shown = stays.view(tokens.grid)
            column = torch.arange(tokens.grid[1], device=shown.device)
            last = torch.where(shown, column, -1).amax(dim=1, keepdim=True)
            stays = stays | (column == last + 1).view(-1)
        if not bool(stays.any()):
            stays[0] = True
        return pruned_tokens(tokens, stays.nonzero()[:, 0])


def blank(pixels: Tensor) -> Tensor:
    """Which tokens show the background alone: bool [N] of uint8 [N, height, width, 3]."""
    points = pixels.flatten(1, 2)
    single: Tensor = (points == points[:, :1]).all(dim=2).all(dim=1)
    red, green, blue = points[:, 0].long().unbind(dim=1)
    colour = (red << 16) + (green << 8) + blue
    if not bool(single.any()):
        return single
    colours, counts = torch.unique(colour[single], return_counts=True)
    background = colours[(counts == counts.max()).nonzero()[0, 0]]
    shows_nothing: Tensor = single & (colour == background)
    return shows_nothing
