"""What docs/bitstreams.md says of all formats, written from that page alone: fields, the range
coder, probability codes, PPM. Nothing here is of freqexp. Faults of a bitstream are assertions.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyppmd

MASK = (1 << 64) - 1


class Fields:
    """Reads bytes from the front."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, count: int) -> bytes:
        assert self.at + count <= len(self.data), "truncated"
        self.at += count
        return self.data[self.at - count : self.at]

    def byte(self) -> int:
        return self.take(1)[0]

    def varint(self) -> int:
        value, shift = 0, 0
        while True:
            byte = self.byte()
            value |= (byte & 127) << shift
            shift += 7
            assert shift <= 35, "a varint of more than five bytes"
            if byte < 128:
                assert byte or shift == 7, "not the shortest form"
                return value

    def varints(self, count: int) -> list[int]:
        return [self.varint() for _ in range(count)]

    def block(self) -> bytes:
        return self.take(self.varint())

    def rest(self) -> bytes:
        return self.take(len(self.data) - self.at)

    def end(self) -> None:
        assert self.at == len(self.data), "too long"


class Bits:
    """Reads bits from the highest of each byte down."""

    def __init__(self, data: bytes) -> None:
        self._bits = "".join(f"{byte:08b}" for byte in data)
        self._at = 0

    def take(self, count: int) -> int:
        found = self._bits[self._at : self._at + count]
        assert len(found) == count, "too few bits"
        self._at += count
        return int(found, 2) if count else 0

    def end(self) -> None:
        rest = self._bits[self._at :]
        assert len(rest) < 8
        assert "1" not in rest


def unzigzag(number: int) -> int:
    return -((number + 1) // 2) if number % 2 else number // 2


class Table:
    """Weights of symbols as shares of 2^24."""

    def __init__(self, weights: Sequence[float]) -> None:
        total = 0.0
        for weight in weights:
            total += weight
        scale = (2**24 - len(weights)) / total
        self.starts, before = [], 0.0
        for number, weight in enumerate(weights):
            self.starts.append(int(before * scale) + number)
            before += weight
        self.starts.append(2**24)


class RangeCoder:
    """Decodes symbols of given weights."""

    def __init__(self, data: bytes) -> None:
        assert len(data) % 4 == 0
        self._words = list(struct.unpack(f"<{len(data) // 4}I", data))
        self._at = 0
        self._low, self._range = 0, MASK
        self._point = self._word() << 32
        self._point |= self._word()

    def _word(self) -> int:
        self._at += 1
        return self._words[self._at - 1] if self._at <= len(self._words) else 0

    def symbol(self, table: Table) -> int:
        unit = self._range >> 24
        place = (self._point - self._low & MASK) // unit
        assert place < 2**24, "no encoder writes these data"
        starts = table.starts
        found, above = 0, len(starts) - 1
        while above - found > 1:
            middle = (found + above) // 2
            found, above = (middle, above) if starts[middle] <= place else (found, middle)
        self._low = self._low + unit * starts[found] & MASK
        self._range = unit * (starts[found + 1] - starts[found])
        if self._range < 2**32:
            self._low = self._low << 32 & MASK
            self._range <<= 32
            self._point = (self._point << 32 & MASK) | self._word()
        return found

    def end(self) -> None:
        assert self._at >= len(self._words), "not all words were read"
        untouched = self._range == MASK
        assert untouched or (self._point - self._low & MASK) < 2**33 - 1


def _probability(step: int) -> float:
    return float(round(2.0 ** (40 - step / 8)) / 2.0**40)


class Symbols:
    """A row of codes of symbols."""

    def __init__(self, codes: bytes) -> None:
        self._codes = codes
        self._there = [number for number, code in enumerate(codes) if code]
        self._table = None
        if len(self._there) > 1:
            self._table = Table([_probability(code - 1) if code else 0.0 for code in codes])

    def next(self, coder: RangeCoder) -> int:
        assert self._there, "a symbol of a context without symbols"
        if self._table is None:
            return self._there[0]
        found = coder.symbol(self._table)
        assert self._codes[found], "a symbol that does not occur"
        return found


def flag_table(code: int) -> Table | None:
    """Of a flag's code; None for a context without flags."""
    if not code:
        return None
    p = _probability(code - 1) if code <= 128 else 1 - _probability(code - 129)
    return Table([1 - p, p])


class Adaptive:
    """A symbol of `size` whose weights grow, in contexts."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._weights: dict[Any, list[int]] = {}

    def next(self, coder: RangeCoder, context: object = None) -> int:
        weights = self._weights.setdefault(context, [1] * self._size)
        found = coder.symbol(Table(weights)) if self._size > 1 else 0
        weights[found] += 32
        return found


def rows(fields: Fields, lengths: Sequence[int]) -> list[bytes]:
    """Rows of codes of these lengths."""
    found = []
    for length in lengths:
        row = fields.block()
        assert len(row) <= length
        assert not row.endswith(b"\0")
        found.append(row.ljust(length, b"\0"))
    return found


def ppm(data: bytes, size: int, order: int, before: bytes = b"") -> bytes:
    """`size` bytes by PPM."""
    if not size:
        assert not data
        return b""
    head = b""
    if before:
        head = pyppmd.Ppmd7Encoder(order, 1 << 24).encode(before)
    zeros = bytes(2 * (order + 2) * size + 4)
    decoder = pyppmd.Ppmd7Decoder(order, 1 << 24)
    found: bytes = decoder.decode((head or b"\0") + data + zeros, len(before) + size)
    assert len(found) == len(before) + size
    return found[len(before) :]


@dataclass(frozen=True)
class Page:
    """A container of a page, taken apart."""

    code: int
    channels: int
    height: int
    width: int
    parameters: Fields
    sections: list[bytes]


def cosines(size: int) -> np.ndarray[Any, Any]:
    """The orthonormal DCT's basis, row u of frequency u."""
    u, i = np.arange(size)[:, None], np.arange(size)[None]
    basis: np.ndarray[Any, Any] = np.sqrt(2 / size) * np.cos(
        np.pi * ((2 * i + 1) * u % (4 * size)) / (2 * size)
    )
    basis[0] = np.sqrt(1 / size)
    return basis
