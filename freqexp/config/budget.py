"""How much of a page a run keeps, whichever of its settings says it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from freqexp.config.run import RunConfig


@dataclass(frozen=True)
class Budget:
    """Those of a run's `keep_ratio`, `keep_tokens` and `keep_like` that act; None for the others.

    A codec or a compressor of the KV cache beside a token compressor goes by the keep ratio while
    the tokens are counted.
    """

    keep_ratio: float | None = None
    keep_tokens: int | None = None
    keep_like: str | None = None

    def words(self) -> str:
        """As in "0.5", "72 tokens", "as pixel_prune" or "0.5, 72 tokens"; "" when nothing acts."""
        found = [] if self.keep_ratio is None else [f"{self.keep_ratio:g}"]
        found += [] if self.keep_tokens is None else [f"{self.keep_tokens} tokens"]
        found += [] if self.keep_like is None else [f"as {self.keep_like}"]
        return ", ".join(found)


def acting_budget(cfg: RunConfig) -> Budget:
    """What says how much of a page this run keeps."""
    compressor = cfg.compressor
    tokens = cfg.keep_tokens if compressor.uses_keep_tokens else None
    like = cfg.keep_like if compressor.uses_budget else None
    if tokens is None and like is None:
        return Budget(cfg.keep_ratio if compressor.uses_keep_ratio else None)
    beside = cfg.keep_ratio if compressor.uses_keep_ratio_beside_budget else None
    return Budget(beside, tokens, like)
