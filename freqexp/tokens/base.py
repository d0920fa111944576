"""What every token compressor shares."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from freqexp.nouns.vision import CompressedTokens, Signal, VisionTokens

if TYPE_CHECKING:
    from torch import Tensor


class TokenCompressor(ABC):
    """Vision tokens -> fewer or coarser vision tokens, one page at a time."""

    simulated: bool
    """True when the decoder's sequence does not get shorter (every token is kept)."""

    signals: tuple[Signal, ...] = ()
    """What `compress` needs beside the features: it finds these in `VisionTokens.signals`."""

    adaptive: bool = False
    """Whether the page decides how many tokens stay; neither a keep ratio nor a budget does."""

    fills_budget: bool = True
    """Whether exactly as many tokens stay as asked for; a method that makes a smaller grid leaves
    the largest one that the budget has room for."""

    nested: bool = True
    """Whether the places kept of a page at a smaller budget are among those at a larger one."""

    quantises: bool = False
    """Whether tokens that stay are rounded to others even where all of them stay."""

    before_encoder: bool = False
    """Whether tokens are dropped before the encoder (`choose`); `compress` then gets the others, at
    `VisionTokens.places`."""

    def choose(self, pixels: Tensor, grid: tuple[int, int]) -> Tensor:
        """A `Chooser`: the tokens that reach the encoder. Called where `before_encoder`."""
        raise NotImplementedError

    @abstractmethod
    def compress(self, tokens: VisionTokens) -> CompressedTokens:
        """Compress one page's tokens. Deterministic; the input is not changed."""
