"""Vision tokens: a page as the encoder made it, and as the decoder will see it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from torch import Tensor

Signal = Literal["pixels", "attention", "keys", "question"]
"""What a compressor may ask for beside the features, N = rows * columns tokens of a page:

pixels: uint8 [N, height, width, 3], what the encoder saw of the page at each token's place, after
    its resizing and before its normalisation.
attention: float32 [N], the share of all attention of the encoder's last block over the whole page
    that a token receives: mean over heads and queries, summed over the token's patches. They sum
    to 1.
keys: float32 [N, head channels], keys of the same block before any rotation, mean over heads and
    over the token's patches.
question: [words, channels], the decoder's embeddings of the question's own tokens, features' dtype.
"""

Chooser = Callable[["Tensor", tuple[int, int]], "Tensor"]
"""Pixels (see `Signal`) and the grid of a page -> int64 [kept], strictly increasing raster
positions of the tokens that reach the encoder."""


@dataclass(frozen=True, eq=False)
class VisionTokens:
    """One page's vision tokens as the encoder made them.

    features: [rows * columns, channels], raster order, the encoder's dtype.
    grid: (rows, columns) after the merge; pages differ, and a grid need not be square.
    deepstack: features [rows * columns, channels] that enter the first decoder layers, one tensor
    a layer (arXiv 2406.04334); empty in most families. Methods that drop tokens leave them alone.
    signals: what the compressor asked for.
    budget: how many tokens are to stay; None: what the compressor's keep ratio makes of them.
    places: int64 [kept], raster positions of `features` where the other tokens were dropped before
    the encoder; None: all are there.
    """

    features: Tensor
    grid: tuple[int, int]
    deepstack: tuple[Tensor, ...] = ()
    signals: Mapping[Signal, Tensor] = field(default_factory=dict)
    budget: int | None = None
    places: Tensor | None = None


@dataclass(frozen=True, eq=False)
class CompressedTokens:
    """One page's vision tokens as the decoder will see them.

    features: [kept, channels].
    kept: int64 [kept], strictly increasing raster positions on `grid` of the tokens that remain.
    grid: the grid before compression.
    nominal_ratio: bits before over bits after counted from bit depths, never a storage figure.
    stored_bytes: length of a bitstream that was decoded again to `features`; None without one.
    components: bytes by name (`codecs.base.COMPONENTS`), which sum to `stored_bytes`.
    deepstack: the rows `kept` of the encoder's own, which leave the decoder with their tokens;
    where tokens were merged, merged with the same weights.
    """

    features: Tensor
    kept: Tensor
    grid: tuple[int, int]
    nominal_ratio: float | None = None
    stored_bytes: int | None = None
    deepstack: tuple[Tensor, ...] = ()
    components: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class LayerView:
    """What can be seen of one request's prefill, a sequence of length L, at the input of a decoder
    layer K >= 1.

    hidden: [L, channels], input of layer K after the decoder's final norm.
    keys: [KV heads, L, head channels], of layer K - 1 as they are cached, after the rotation.
    query: [heads, head channels], of the last token in layer K - 1, after the rotation; head h
        reads the keys of KV head h // (heads / KV heads).
    scale: what layer K - 1 multiplies query times key by.
    vision: int64 [N], places of the request's vision tokens in the sequence, increasing.
    budget: how many of them are to stay; None: what the method's keep ratio makes of them.
    """

    hidden: Tensor
    keys: Tensor
    query: Tensor
    scale: float
    vision: Tensor
    budget: int | None = None


class LayerPruner(Protocol):
    """Drops vision tokens in the middle of the decoder: layers from `layer` on, counted from 0, go
    without them.
    """

    @property
    def layer(self) -> int:
        """1 or more."""

    def choose(self, view: LayerView) -> Tensor:
        """int64 [kept], strictly increasing: which of the vision tokens, numbered from 0 in the
        order of `view.vision`, stay.
        """


def keep_all(tokens: VisionTokens) -> CompressedTokens:
    """The identity: every token that the encoder made at its place."""
    import torch

    rows, columns = tokens.grid
    kept = tokens.places
    if kept is None:
        kept = torch.arange(rows * columns, device=tokens.features.device)
    return CompressedTokens(tokens.features, kept, tokens.grid, deepstack=tokens.deepstack)
