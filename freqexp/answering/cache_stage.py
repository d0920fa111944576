"""What a compressor of the KV cache is told, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from freqexp.config.budget import acting_budget
from freqexp.readers.base import Request

if TYPE_CHECKING:
    from torch import Tensor

    from freqexp.config.run import RunConfig
    from freqexp.kv.base import KVMethod
    from freqexp.nouns.vision import CompressedTokens, LayerPruner
    from freqexp.readers.base import Reader


class CacheStage:
    """A compressor of the cache, or none.

    Raises UserError for a compressor that the reader can't give its cache to.
    """

    def __init__(self, cfg: RunConfig, compressor: KVMethod | None, reader: Reader) -> None:
        self.acts = compressor is not None
        self._compressor = compressor
        # Where vision tokens are counted, the count is theirs.
        counted = None if cfg.compressor.uses_budget else acting_budget(cfg).keep_tokens
        self._budget = counted if self.acts else None
        if compressor is not None:
            reader.check_compressor(compressor)

    def request(
        self,
        question: str,
        tokens: Sequence[CompressedTokens],
        pruner: LayerPruner | None,
        budget: int | None,
        text: Tensor | None = None,
    ) -> Request:
        """A request with the compressor, if there is one."""
        return Request(question, tokens, pruner, budget, self._compressor, self._budget, text)

    def note(self, found: dict[str, Any]) -> None:
        """Add to a record's figures when the compressor acted, whether the cache really got
        smaller, and the time that took among the others.
        """
        if self._compressor is None:
            return
        found["question"] = self._compressor.question
        if found.get("kv_full_bytes") is not None:
            found["kv_simulated"] = found["kv_cache_bytes"] >= found["kv_full_bytes"]
            places = ("codec", "token", "kv")
            found["simulated"] = any(found.get(f"{place}_simulated") for place in places)
        if found.get("kv_ms") is not None:
            found["compress_ms"] = found.get("compress_ms", 0.0) + found["kv_ms"]
