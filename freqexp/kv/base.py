"""What every compressor of the KV cache shares."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from freqexp.nouns.cache import Asked, LayerCache, StoredLayer


class KVMethod(ABC):
    """A `CacheCompressor`, one layer of one request at a time. Deterministic."""

    simulated: bool
    """True when nothing gets shorter or smaller, whatever comes."""

    queries: int = 0
    """See `CacheCompressor`."""
    all_layers: bool = False
    """See `CacheCompressor`."""
    library: str | None = None
    """See `CacheCompressor`."""

    evicts: bool = False
    """Whether tokens leave; if not, as many are read as there were."""
    nested: bool = True
    """Of a method that evicts: whether what stays at a smaller budget is among what stays at a
    larger one.
    """

    def __init__(self, question: Asked = "unseen") -> None:
        self.question: Asked = question

    def plan(self, layers: Sequence[LayerCache]) -> list[int]:
        """See `CacheCompressor`."""
        raise TypeError(f"{type(self).__name__} takes every layer by itself")

    @abstractmethod
    def compress(self, layer: LayerCache) -> StoredLayer:
        """See `CacheCompressor`.

        Raises ValueError for a layer whose parts do not fit, and UserError for NaN or infinity and
        for a prompt that is too short for the settings.
        """
