"""8-bit floating point by the model's own library: a witness that shares no code with this room."""

from __future__ import annotations

from freqexp.kv.base import KVMethod
from freqexp.nouns.cache import Asked, LayerCache, StoredLayer


class Fp8(KVMethod):
    """Keys and values in e4m3, one scale a tensor, fixed at prefill: what transformers'
    `QuantizedCache(backend="fp8")` does. Each pass reads a layer in full precision.
    """

    simulated = False
    library = "fp8"

    def __init__(self, question: Asked = "unseen") -> None:
        """Keep the settings."""
        super().__init__(question)

    def compress(self, layer: LayerCache) -> StoredLayer:
        """Never called: the library's cache compresses while it is filled."""
        raise TypeError("fp8: the library's own cache takes this one's place")
