"""The KV cache: what a decoder layer holds of a prompt, and what is stored of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from torch import Tensor

Component = Literal["codes", "scales", "zeros", "indices", "basis", "window", "exact"]
"""What the bytes of a cache are counted as:

codes: quantised numbers, packed, or coefficients of a basis. scales, zeros: of the quantiser.
indices: which tokens or channels the others are of. basis: what coefficients are multiplied by,
with the mean. window: tokens that wait for their group, or stay as they are because they are new.
exact: all other keys and values, as the model made them.
"""

CACHE_COMPONENTS: tuple[Component, ...] = (
    "codes",
    "scales",
    "zeros",
    "indices",
    "basis",
    "window",
    "exact",
)

Asked = Literal["seen", "unseen"]
"""Whether the cache is compressed after the question was read, or before."""


@dataclass(frozen=True, eq=False)
class LayerCache:
    """What a decoder layer made of the part of one request's prompt that is compressed, L tokens.

    keys, values: [KV heads, L, channels], keys after their rotation.
    vision: bool [L], which of the tokens are a page's.
    queries: [heads, w, channels], queries of the last w tokens, after their rotation; head h reads
        the keys of KV head h // (heads / KV heads). None where none were asked for.
    scale: what the layer multiplies query times key by.
    number: which layer of the decoder, from 0.
    budget: how many tokens are to stay; None: what the compressor's keep ratio makes of them.
    """

    keys: Tensor
    values: Tensor
    vision: Tensor
    queries: Tensor | None = None
    scale: float = 1.0
    number: int = 0
    budget: int | None = None


@dataclass(frozen=True, eq=False)
class Shared:
    """Tensors that come with the method and serve all requests: held once, and counted apart."""

    tensors: tuple[Tensor, ...]


class StoredLayer(Protocol):
    """What is held of one layer's cache of one request between decoding steps."""

    @property
    def tokens(self) -> int:
        """How many tokens `read` gives."""

    def append(self, keys: Tensor, values: Tensor) -> None:
        """Take n more tokens, [KV heads, n, channels]."""

    def read(self) -> tuple[Tensor, Tensor]:
        """Keys and values [KV heads, tokens, channels] in the dtype they came in, those appended
        last. Tokens stand in any order: keys carry their positions in their rotation.
        """

    def tensors(self) -> Mapping[Component, Sequence[Tensor]]:
        """Everything that is held for this request, each tensor once; nothing `Shared`."""


class CacheCompressor(Protocol):
    """Makes a layer's cache smaller, once for each request and layer."""

    @property
    def queries(self) -> int:
        """Of how many of the last tokens it needs the queries."""

    @property
    def all_layers(self) -> bool:
        """Whether `plan` has to see every layer before one is compressed."""

    @property
    def question(self) -> Asked:
        """When it is called."""

    @property
    def library(self) -> str | None:
        """A cache of the model's library that is to take this one's place; None: `compress`."""

    def plan(self, layers: Sequence[LayerCache]) -> list[int]:
        """How many tokens of each layer are to stay. Called where `all_layers`."""

    def compress(self, layer: LayerCache) -> StoredLayer:
        """What is kept of a layer; nothing of `layer` is changed or held on to."""
