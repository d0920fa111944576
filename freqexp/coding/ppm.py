"""Prediction by partial matching (PPMd variant H, Shkarin 2002), through pyppmd."""

from __future__ import annotations

from typing import Any

from freqexp.coding.bitstream import BitstreamError

MOST_BYTES = 1 << 20
_MEMORY = 1 << 24
_START = 4


def compress(data: bytes, order: int, before: bytes = b"") -> bytes:
    """`data`, coded by contexts of up to `order` bytes, 2 to 64.

    before: what the decoder knows already and the model has learned from; it takes no bytes.
    Raises OverflowError for more than MOST_BYTES, and for what pyppmd would not decode again: from
    order 14 on 1.3.1 loses its way in some pages of 300,000 bytes.
    """
    if len(data) > MOST_BYTES:
        raise OverflowError
    if not data:
        return b""
    known, coded = _encoded(data, order, before)
    if _decoded((known or b"\0") + coded, len(before) + len(data), order) != before + data:
        raise OverflowError
    return coded


def decompress(data: bytes, size: int, order: int, before: bytes = b"") -> bytes:
    """Inverse of `compress`: `size` bytes. Raises BitstreamError for what `compress` never gives.

    What is asked for is decoded whatever `data` are, so that `size` bounds time and memory.
    """
    if size > MOST_BYTES:
        raise BitstreamError(f"ppm: {size} bytes, at most {MOST_BYTES}")
    if not size:
        if data:
            raise BitstreamError(f"ppm: {len(data)} bytes for nothing")
        return b""
    known = _after(before, order)[1]
    found = _decoded((known or b"\0") + data, len(before) + size, order)[len(before) :]
    if len(found) != size or _encoded(found, order, before)[1] != data:
        raise BitstreamError(f"ppm: {len(data)} bytes that no encoder makes")
    return found


def _encoded(data: bytes, order: int, before: bytes) -> tuple[bytes, bytes]:
    """What is written of `before`, and what of `data` is stored."""
    coder, known = _after(before, order)
    coded: bytes = coder.encode(data) + coder.flush()
    # The range coder's first byte is always 0, and zeros at the end are read where nothing is left.
    return known, (coded if known else coded[1:]).rstrip(b"\0")


def _decoded(data: bytes, size: int, order: int) -> bytes:
    """`size` bytes, or fewer where `data` are no code.

    pyppmd's decoder crashes when it does not like how its input begins, and when its input ends
    before its output. So it gets as much as the longest code could be: a byte takes at most
    `order` + 2 steps of the range coder, and a step at most two bytes.
    """
    import pyppmd

    enough = bytes(_START + 2 * (order + 2) * size)
    if data[1 : 1 + _START] == b"\xff" * _START:
        return b""
    try:
        found: bytes = pyppmd.Ppmd7Decoder(order, _MEMORY).decode(data + enough, size)
    except ValueError:
        return b""
    return found


def _after(before: bytes, order: int) -> tuple[Any, bytes]:
    """An encoder that has seen `before`, and what it has written of it."""
    import pyppmd

    coder = pyppmd.Ppmd7Encoder(order, _MEMORY)
    return coder, coder.encode(before) if before else b""
