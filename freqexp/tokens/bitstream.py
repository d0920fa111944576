"""What vision tokens are stored as: quantised coefficients or the kept tokens, and their places.

| bytes | field |
|---|---|
| 4 | magic `FQXT` |
| 1 | version |
| 1 | kind: 1 coefficients, 2 tokens |
| varint each | rows and columns of the grid, channels, code of the dtype |
| varint + n each | parameters, masks, scales, values |
| 4 | CRC-32 of everything before |

Coefficients are those of the whole grid: the kept tokens are made of all of them, so pruning saves
no bytes here. Their levels are range coded, with one table for each ring of radial frequency; bits
beyond the first eight of a level follow as they are. Tokens are the kept ones in their own dtype,
byte planes deflated.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from freqexp.coding.bitstream import BitstreamError, Cursor, varint
from freqexp.tokens.coefficients import (
    Integers,
    Quantised,
    RingsOf,
    pack_coefficients,
    pack_planes,
    raw_bytes,
    unpack_coefficients,
    unpack_planes,
)

MAGIC = b"FQXT"
VERSION = 1
COEFFICIENTS, TOKENS = 1, 2
DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
MAX_TOKENS, MAX_VALUES = 1 << 20, 1 << 26
"""Most tokens of a page, and most numbers of them: a header may not ask for more memory or time
than those take.
"""

_CHECKSUM = struct.Struct("<I")


@dataclass(frozen=True, eq=False)
class StoredTokens:
    """A page's tokens as stored. coefficients, or values [kept, channels] in the tokens' dtype."""

    grid: tuple[int, int]
    channels: int
    dtype: torch.dtype
    kept: Tensor
    coefficients: Quantised | None = None
    values: Tensor | None = None


def store(stored: StoredTokens, rings_of: RingsOf) -> tuple[bytes, dict[str, int]]:
    """The bitstream of a page's tokens, decoded again and compared, and its bytes by component."""
    data, components = pack(stored, rings_of(stored.grid))
    # What the model sees is a function of these numbers alone, so equal ones are the decoding.
    if not same(unpack(data, rings_of), stored):
        raise RuntimeError("token bitstream: decodes to other numbers than were stored")
    return data, components


def pack(stored: StoredTokens, rings: Sequence[Integers]) -> tuple[bytes, dict[str, int]]:
    """The bitstream and its bytes by component (`codecs.base.COMPONENTS`).

    rings: for each band, the ring of radial frequency of each of its coefficients.
    """
    numbers = (*stored.grid, stored.channels, DTYPES.index(stored.dtype))
    mask = np.zeros(stored.grid[0] * stored.grid[1], dtype=np.uint8)
    mask[stored.kept.cpu().numpy()] = 1
    masks = b"" if mask.all() else np.packbits(mask).tobytes()
    if stored.coefficients is not None:
        parameters, scales, values, tables = pack_coefficients(stored.coefficients, rings)
        kind = COEFFICIENTS
    else:
        assert stored.values is not None
        parameters, scales, tables, values = b"", b"", 0, pack_planes(stored.values)
        kind = TOKENS
    blocks = (parameters, masks, scales, values)
    parts = [MAGIC, bytes([VERSION, kind]), *map(varint, numbers)]
    for block in blocks:
        parts += [varint(len(block)), block]
    body = b"".join(parts)
    data = body + _CHECKSUM.pack(zlib.crc32(body))
    counts = {"masks": len(masks), "values": len(values) - tables, "scales": len(scales) + tables}
    return data, {"header": len(data) - sum(counts.values()), **counts}


def unpack(data: bytes, rings_of: RingsOf) -> StoredTokens:
    """Inverse of `pack`. Raises BitstreamError for what is no whole and intact bitstream."""
    if data[: len(MAGIC)] != MAGIC:
        raise BitstreamError(f"tokens: starts with {data[:4]!r}, not with {MAGIC!r}")
    cursor = Cursor(data, "tokens", len(MAGIC))
    version, kind = cursor.take(2)
    if version != VERSION:
        raise BitstreamError(f"tokens: version {version}, this program reads {VERSION}")
    rows, columns, channels, code = (cursor.varint() for _ in range(4))
    parameters, masks, scales, values = (cursor.block() for _ in range(4))
    body = cursor.at
    checksum = _CHECKSUM.unpack(cursor.take(_CHECKSUM.size))[0]
    cursor.end()
    if zlib.crc32(data[:body]) != checksum:
        raise BitstreamError("tokens: damaged, the checksum does not match")
    count = rows * columns
    if not 0 < count <= MAX_TOKENS or not 0 < count * channels <= MAX_VALUES:
        allowed = f"at most {MAX_TOKENS} tokens and {MAX_VALUES} numbers"
        size = f"{rows} x {columns} tokens of {channels} channels"
        raise BitstreamError(f"tokens: {size}, allowed: {allowed}")
    if code >= len(DTYPES):
        raise BitstreamError(f"tokens: dtype {code}, this program knows 0 to {len(DTYPES) - 1}")
    kept = _kept(masks, count)
    if kind == COEFFICIENTS:
        rings = rings_of((rows, columns))
        found = unpack_coefficients(parameters, scales, values, rings, channels)
        return StoredTokens((rows, columns), channels, DTYPES[code], kept, coefficients=found)
    if kind != TOKENS or parameters or scales:
        raise BitstreamError(f"tokens: kind {kind}, or parameters that do not belong to it")
    tokens = unpack_planes(values, (len(kept), channels), DTYPES[code])
    return StoredTokens((rows, columns), channels, DTYPES[code], kept, values=tokens)


def same(one: StoredTokens, other: StoredTokens) -> bool:
    """Whether two pages' tokens are stored as the same numbers."""
    pairs = [(one.kept, other.kept), (one.values, other.values)]
    if (one.coefficients is None) != (other.coefficients is None):
        return False
    if one.coefficients is not None and other.coefficients is not None:
        a, b = one.coefficients, other.coefficients
        pairs += [*zip(a.levels, b.levels, strict=True), *zip(a.peaks, b.peaks, strict=True)]
        if a.bits != b.bits:
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
