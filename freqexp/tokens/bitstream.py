"""What vision tokens are stored as: quantised coefficients or the kept tokens, and their places.

The blocks of the container (`tokens.container`) are parameters, masks, scales and values.

Coefficients are those of the whole grid: the kept tokens are made of all of them, so pruning saves
no bytes here. Their levels are range coded, with one table for each ring of radial frequency; bits
beyond the first eight of a level follow as they are. Tokens are the kept ones in their own dtype,
byte planes deflated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from freqexp.coding.bitstream import BitstreamError
from freqexp.tokens.coefficients import (
    Quantised,
    pack_coefficients,
    pack_planes,
    raw_bytes,
    unpack_coefficients,
    unpack_planes,
)
from freqexp.tokens.container import COEFFICIENTS, TOKENS, Container
from freqexp.tokens.container import unpack as unpack_container


@dataclass(frozen=True, eq=False)
class StoredTokens:
    """A page's tokens as stored. coefficients, or values [kept, channels] in the tokens' dtype."""

    grid: tuple[int, int]
    channels: int
    dtype: torch.dtype
    kept: Tensor
    coefficients: Quantised | None = None
    values: Tensor | None = None


def store(stored: StoredTokens) -> tuple[bytes, dict[str, int]]:
    """The bitstream of a page's tokens, decoded again and compared, and its bytes by component."""
    data, components = pack(stored)
    # What the model sees is a function of these numbers alone, so equal ones are the decoding.
    if not same(unpack(data), stored):
        raise RuntimeError("token bitstream: decodes to other numbers than were stored")
    return data, components


def pack(stored: StoredTokens) -> tuple[bytes, dict[str, int]]:
    """The bitstream and its bytes by component (`codecs.base.COMPONENTS`)."""
    mask = np.zeros(stored.grid[0] * stored.grid[1], dtype=np.uint8)
    mask[stored.kept.cpu().numpy()] = 1
    masks = b"" if mask.all() else np.packbits(mask).tobytes()
    if stored.coefficients is not None:
        parameters, scales, values, tables = pack_coefficients(stored.coefficients, stored.grid)
        kind = COEFFICIENTS
    else:
        assert stored.values is not None
        parameters, scales, tables, values = b"", b"", 0, pack_planes(stored.values)
        kind = TOKENS
    blocks = (parameters, masks, scales, values)
    data = Container(kind, stored.grid, stored.channels, stored.dtype, blocks).pack()
    counts = {"masks": len(masks), "values": len(values) - tables, "scales": len(scales) + tables}
    return data, {"header": len(data) - sum(counts.values()), **counts}


def unpack(data: bytes) -> StoredTokens:
    """Inverse of `pack`. Raises BitstreamError for what is no whole and intact bitstream."""
    found = unpack_container(data)
    head = (found.grid, found.channels, found.dtype)
    if found.kind not in (COEFFICIENTS, TOKENS):
        raise BitstreamError(f"tokens: kind {found.kind} needs its codebook")
    parameters, masks, scales, values = found.blocks
    kept = _kept(masks, found.grid[0] * found.grid[1])
    if found.kind == COEFFICIENTS:
        quantised = unpack_coefficients(parameters, scales, values, found.grid, found.channels)
        return StoredTokens(*head, kept, coefficients=quantised)
    if parameters or scales:
        raise BitstreamError("tokens: parameters that do not belong to their kind")
    tokens = unpack_planes(values, (len(kept), found.channels), found.dtype)
    return StoredTokens(*head, kept, values=tokens)


def same(one: StoredTokens, other: StoredTokens) -> bool:
    """Whether two pages' tokens are stored as the same numbers."""
    pairs = [(one.kept, other.kept), (one.values, other.values)]
    if (one.coefficients is None) != (other.coefficients is None):
        return False
    if one.coefficients is not None and other.coefficients is not None:
        a, b = one.coefficients, other.coefficients
        pairs += [*zip(a.levels, b.levels, strict=True), *zip(a.peaks, b.peaks, strict=True)]
        if (a.bits, a.limits) != (b.bits, b.limits):
            return False
    same_head = (one.grid, one.channels, one.dtype) == (other.grid, other.channels, other.dtype)
    return same_head and all(_equal(*pair) for pair in pairs)


def _equal(one: Tensor | None, other: Tensor | None) -> bool:
    """Bit for bit, wherever they are; NaN counts as equal to itself."""
    if one is None or other is None:
        return one is other
    a, b = one.detach().cpu().contiguous(), other.detach().cpu().contiguous()
    return a.numel() == b.numel() and torch.equal(raw_bytes(a), raw_bytes(b))


def _kept(masks: bytes, count: int) -> Tensor:
    if not masks:
        return torch.arange(count)
    if len(masks) != -(-count // 8):
        raise BitstreamError(f"masks: {len(masks)} bytes where {-(-count // 8)} belong")
    flags = np.unpackbits(np.frombuffer(masks, dtype=np.uint8))
    if flags[count:].any() or not flags.any() or flags[:count].all():
        raise BitstreamError("masks: not the mask of an encoder")
    return torch.from_numpy(np.flatnonzero(flags))
