"""Vision tokens: a page as the encoder made it, and as the decoder will see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class VisionTokens:
    """One page's vision tokens as the encoder made them.

    features: [rows * columns, channels], raster order, the encoder's dtype.
    grid: (rows, columns) after the merge; pages differ, and a grid need not be square.
    deepstack: features [rows * columns, channels] that enter the first decoder layers, one tensor
    a layer (arXiv 2406.04334); empty in most families. Compressors leave them alone.
    """

    features: Tensor
    grid: tuple[int, int]
    deepstack: tuple[Tensor, ...] = ()


@dataclass(frozen=True, eq=False)
class CompressedTokens:
    """One page's vision tokens as the decoder will see them.

    features: [kept, channels].
    kept: int64 [kept], strictly increasing raster positions on `grid` of the tokens that remain.
    grid: the grid before compression.
    nominal_ratio: bits before over bits after counted from bit depths, never a storage figure.
    stored_bytes: length of a bitstream that was decoded again to `features`; None without one.
    components: bytes by name (`codecs.base.COMPONENTS`), which sum to `stored_bytes`.
    deepstack: the rows `kept` of the encoder's own; they leave the decoder with their tokens.
    """

    features: Tensor
    kept: Tensor
    grid: tuple[int, int]
    nominal_ratio: float | None = None
    stored_bytes: int | None = None
    deepstack: tuple[Tensor, ...] = ()
    components: Mapping[str, int] = field(default_factory=dict)


def keep_all(tokens: VisionTokens) -> CompressedTokens:
    """The identity: every token at its place."""
    import torch

    rows, columns = tokens.grid
    kept = torch.arange(rows * columns, device=tokens.features.device)
    return CompressedTokens(tokens.features, kept, tokens.grid, deepstack=tokens.deepstack)
