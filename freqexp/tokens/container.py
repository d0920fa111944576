"""The container of stored vision tokens, whatever they are stored as.

| bytes | field |
|---|---|
| 4 | magic `FQXT` |
| 1 | version |
| 1 | kind: 1 coefficients, 2 tokens, 3 codes |
| varint each | rows and columns of the grid, channels, code of the dtype |
| varint + n each | blocks: of codes three, else four |
| 4 | CRC-32 of everything before |

The blocks of coefficients and tokens are in `tokens.bitstream`, those of codes in
`tokens.trained.codes`.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from freqexp.coding.bitstream import BitstreamError, Cursor, varint

MAGIC = b"FQXT"
VERSION = 2
COEFFICIENTS, TOKENS, CODES = 1, 2, 3
DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
MAX_TOKENS, MAX_VALUES, MAX_SIDE = 1 << 20, 1 << 26, 0xFFFF
"""Most tokens of a page, most numbers of them and most rows or columns: a header may not ask for
more memory or time than those take.
"""

_BLOCKS = {COEFFICIENTS: 4, TOKENS: 4, CODES: 3}
_CHECKSUM = struct.Struct("<I")


@dataclass(frozen=True)
class Container:
    """A container, taken apart. channels, dtype: of the tokens."""

    kind: int
    grid: tuple[int, int]
    channels: int
    dtype: torch.dtype
    blocks: Sequence[bytes]

    def pack(self) -> bytes:
        """The container as bytes."""
        numbers = (*self.grid, self.channels, DTYPES.index(self.dtype))
        parts = [MAGIC, bytes([VERSION, self.kind]), *map(varint, numbers)]
        for block in self.blocks:
            parts += [varint(len(block)), block]
        body = b"".join(parts)
        return body + _CHECKSUM.pack(zlib.crc32(body))


def unpack(data: bytes) -> Container:
    """Inverse of `Container.pack`. Raises BitstreamError for what is no whole and intact container,
    or one that claims too much.
    """
    if data[: len(MAGIC)] != MAGIC:
        raise BitstreamError(f"tokens: starts with {data[:4]!r}, not with {MAGIC!r}")
    cursor = Cursor(data, "tokens", len(MAGIC))
    version, kind = cursor.take(2)
    if version != VERSION:
        raise BitstreamError(f"tokens: version {version}, this program reads {VERSION}")
    if kind not in _BLOCKS:
        raise BitstreamError(f"tokens: kind {kind}, this program reads 1 to {max(_BLOCKS)}")
    rows, columns, channels, code = (cursor.varint() for _ in range(4))
    blocks = tuple(cursor.block() for _ in range(_BLOCKS[kind]))
    body = cursor.at
    checksum = _CHECKSUM.unpack(cursor.take(_CHECKSUM.size))[0]
    cursor.end()
    if zlib.crc32(data[:body]) != checksum:
        raise BitstreamError("tokens: damaged, the checksum does not match")
    count = rows * columns
    fits = 0 < count <= MAX_TOKENS and 0 < count * channels <= MAX_VALUES
    if not fits or max(rows, columns) > MAX_SIDE:
        allowed = f"at most {MAX_TOKENS} tokens, {MAX_SIDE} a side, and {MAX_VALUES} numbers"
        size = f"{rows} x {columns} tokens of {channels} channels"
        raise BitstreamError(f"tokens: {size}, allowed: {allowed}")
    if code >= len(DTYPES):
        raise BitstreamError(f"tokens: dtype {code}, this program knows 0 to {len(DTYPES) - 1}")
    return Container(kind, (rows, columns), channels, DTYPES[code], blocks)
