"""The container every codec writes: what a decoder needs, and a checksum over all of it.

| bytes | field |
|---|---|
| 4 | magic `FQXP` |
| 1 | version |
| 1 | code of the codec |
| 1 | channels, 1 (gray) or 3 (RGB) |
| 2 + 2 | height and width of the page in pixels |
| varint + n | parameters of the codec |
| varint | number of sections |
| (varint + n) each | sections: what the codec stores, each of one component of the ledger |
| 4 | CRC-32 of everything before |

Numbers are little-endian; a varint is LEB128 in its shortest form. So a page has one container for
each content, and whatever is left out, put in or changed is found out.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from freqexp.errors import UserError

MAGIC = b"FQXP"
VERSION = 1
MAX_SAMPLES = 1 << 25
"""Most samples of a page (5792 x 5792 gray): a header may not ask for more memory than that."""

_FIXED = struct.Struct("<4sBBBHH")
_CHECKSUM = struct.Struct("<I")
_MAX_SECTIONS = 16
_VARINT_BYTES = 5


class BitstreamError(UserError):
    """Data that is no whole and intact bitstream of this version; the message names the fault."""


@dataclass(frozen=True)
class Bitstream:
    """A container, taken apart.

    code: of the codec. shape: of the page, (height, width) or (height, width, 3).
    parameters: what the codec was set to. sections: what it stores.
    """

    code: int
    shape: tuple[int, ...]
    parameters: bytes
    sections: tuple[bytes, ...]

    def pack(self) -> bytes:
        """The container as bytes. The shape must have passed `check_size`."""
        height, width, *rest = self.shape
        channels = rest[0] if rest else 1
        parts = [_FIXED.pack(MAGIC, VERSION, self.code, channels, height, width)]
        parts += [varint(len(self.parameters)), self.parameters, varint(len(self.sections))]
        for section in self.sections:
            parts += [varint(len(section)), section]
        body = b"".join(parts)
        return body + _CHECKSUM.pack(zlib.crc32(body))


def unpack(data: bytes) -> Bitstream:
    """Take a container apart and check everything that does not depend on its codec.

    Raises:
        BitstreamError: `data` is not exactly one container.
    """
    if not data:
        raise BitstreamError("bitstream: empty (0 bytes)")
    if data[: len(MAGIC)] != MAGIC[: len(data)]:
        raise BitstreamError(f"bitstream: starts with {data[:4]!r}, not with {MAGIC!r}")
    if len(data) < _FIXED.size:
        raise BitstreamError(f"bitstream: truncated, {len(data)} bytes are less than a header")
    _, version, code, channels, height, width = _FIXED.unpack_from(data)
    if version != VERSION:
        raise BitstreamError(f"bitstream: version {version}, this program reads {VERSION}")
    cursor = Cursor(data, "bitstream", _FIXED.size)
    parameters = cursor.block()
    count = cursor.varint()
    if count > _MAX_SECTIONS:
        raise BitstreamError(f"bitstream: {count} sections, allowed: at most {_MAX_SECTIONS}")
    sections = tuple(cursor.block() for _ in range(count))
    body = cursor.at
    stored = _CHECKSUM.unpack(cursor.take(_CHECKSUM.size))[0]
    cursor.end()
    if zlib.crc32(data[:body]) != stored:
        raise BitstreamError("bitstream: damaged, the checksum does not match")
    if channels not in (1, 3):
        raise BitstreamError(f"bitstream: {channels} channels, allowed: 1 or 3")
    shape = (height, width) if channels == 1 else (height, width, 3)
    fault = size_fault(shape)
    if fault:
        raise BitstreamError(f"bitstream: {fault}")
    return Bitstream(code, shape, parameters, sections)


def size_fault(shape: Sequence[int]) -> str | None:
    """What is wrong with a page of this shape, (height, width) or (height, width, channels); None
    when it can be stored.
    """
    height, width, *rest = shape
    if not height or not width:
        return f"a page of {width} x {height} pixels is empty"
    if max(height, width) > 0xFFFF or math.prod(shape) > MAX_SAMPLES:
        allowed = f"at most {MAX_SAMPLES} samples and 65535 pixels a side"
        channels = f" with {rest[0]} channels" if rest else ""
        return f"a page of {width} x {height} pixels{channels} is too large, allowed: {allowed}"
    return None


def varint(value: int) -> bytes:
    """LEB128 of a value that is not negative: 7 bits a byte, the lowest first."""
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


class Cursor:
    """Reads `data` from `at` on. `name` is what messages call it.

    Every method raises BitstreamError for data that end too early or are no such field.
    """

    def __init__(self, data: bytes, name: str, at: int = 0) -> None:
        self.data = data
        self.name = name
        self.at = at

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        if count > len(self.data) - self.at:
            left = len(self.data) - self.at
            raise BitstreamError(
                f"{self.name}: truncated, {left} bytes are left where {count} belong"
            )
        self.at += count
        return self.data[self.at - count : self.at]

    def varint(self) -> int:
        """The next varint."""
        value = 0
        for index in range(_VARINT_BYTES):
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << 7 * index
            if byte < 0x80:
                if byte == 0 and index:
                    raise BitstreamError(f"{self.name}: a number is not in its shortest form")
                return value
        raise BitstreamError(f"{self.name}: a number is longer than {_VARINT_BYTES} bytes")

    def block(self) -> bytes:
        """The next bytes, as many as the varint before them says."""
        return self.take(self.varint())

    def end(self) -> None:
        """Nothing may follow."""
        if self.at < len(self.data):
            extra = len(self.data) - self.at
            raise BitstreamError(f"{self.name}: too long, {extra} bytes follow its end")
