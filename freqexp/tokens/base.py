"""What every token compressor shares."""

from __future__ import annotations

from abc import ABC, abstractmethod

from freqexp.nouns.vision import CompressedTokens, VisionTokens


class TokenCompressor(ABC):
    """Vision tokens -> fewer or coarser vision tokens, one page at a time."""

    simulated: bool
    """True when the decoder's sequence does not get shorter (every token is kept)."""

    @abstractmethod
    def compress(self, tokens: VisionTokens) -> CompressedTokens:
        """Compress one page's tokens. Deterministic; the input is not changed."""
