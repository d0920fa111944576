"""Ways to damage a bitstream."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from freqexp.codecs.block_vq.codebook import NAME
from freqexp.tokens.container import MAGIC

CHECKSUM_BYTES = 4
_VERSION_AT = 4
# Height and width on a page, rows and columns of vision tokens.
_PAGE_SIZE_AT, _TOKENS_SIZE_AT = 7, 6
# The largest of both sides at once asks for more than a page may have.
_SIDES = (0, 1, 7, 0xFFFF)


def mutated(
    streams: Sequence[bytes], mutations: int, rng: np.random.Generator, repaired: float
) -> Iterator[tuple[bytes, bool]]:
    """One mutation after the other, none the stream it came from, and whether its checksum is
    right.
    """
    done = 0
    while done < mutations:
        original = streams[int(rng.integers(len(streams)))]
        data = bytearray(original)
        is_repaired = rng.random() < repaired
        if is_repaired:
            del data[-CHECKSUM_BYTES:]
        for _ in range(rng.integers(1, 4)):
            MUTATIONS[rng.integers(len(MUTATIONS))](data, streams, rng)
        if is_repaired:
            data += zlib.crc32(data).to_bytes(CHECKSUM_BYTES, "little")
        if data != original:
            done += 1
            yield bytes(data), is_repaired


def _span(data: bytearray, rng: np.random.Generator) -> slice:
    """One to eight bytes somewhere."""
    place = int(rng.integers(len(data) + 1))
    return slice(place, place + int(rng.integers(1, 9)))


def flip(data: bytearray, streams: Sequence[bytes], rng: np.random.Generator) -> None:
    """Another bit."""
    place = int(rng.integers(len(data) + 1))
    data[place : place + 1] = bytes(b ^ 1 << int(rng.integers(8)) for b in data[place : place + 1])


def overwrite(data: bytearray, streams: Sequence[bytes], rng: np.random.Generator) -> None:
    """Other bytes."""
    span = _span(data, rng)
    data[span] = rng.bytes(span.stop - span.start)


def cut(data: bytearray, streams: Sequence[bytes], rng: np.random.Generator) -> None:
    """Bytes are missing."""
    del data[_span(data, rng)]


def double(data: bytearray, streams: Sequence[bytes], rng: np.random.Generator) -> None:
    """Bytes are there twice."""
    span = _span(data, rng)
    data[span.start : span.start] = data[span]


def truncate(data: bytearray, streams: Sequence[bytes], rng: np.random.Generator) -> None:
    """The end is missing."""
    del data[int(rng.integers(len(data) + 1)) :]


def lengthen(data: bytearray, streams: Sequence[bytes], rng: np.random.Generator) -> None:
    """Something follows the end."""
    data += rng.bytes(int(rng.integers(1, 65)))


def splice(data: bytearray, streams: Sequence[bytes], rng: np.random.Generator) -> None:
    """Bytes of another bitstream."""
    other = streams[int(rng.integers(len(streams)))]
    start = int(rng.integers(len(other)))
    span = _span(data, rng)
    data[span] = other[start : start + span.stop - span.start]


def other_version(data: bytearray, streams: Sequence[bytes], rng: np.random.Generator) -> None:
    """A version that may not be there."""
    data[_VERSION_AT : _VERSION_AT + 1] = rng.bytes(1)


def other_size(data: bytearray, streams: Sequence[bytes], rng: np.random.Generator) -> None:
    """Sides of a page, or rows of tokens, that are none, small or as large as can be."""
    sides = [int(side).to_bytes(2, "little") for side in rng.choice(_SIDES, 2)]
    if data[: len(MAGIC)] == MAGIC:
        # The same as a varint of five bytes, which stands for up to 2^32.
        data[_TOKENS_SIZE_AT : _TOKENS_SIZE_AT + 1] = bytes([b | 0x80 for b in sides[0] * 2]) + b"1"
    else:
        data[_PAGE_SIZE_AT : _PAGE_SIZE_AT + 4] = b"".join(sides)


def other_codebook(data: bytearray, streams: Sequence[bytes], rng: np.random.Generator) -> None:
    """The name of another codebook, where there is one."""
    place = data.find(bytes.fromhex(NAME))
    if place >= 0:
        data[place : place + 8] = rng.bytes(8)


_Mutation = Callable[[bytearray, Sequence[bytes], np.random.Generator], None]


MUTATIONS: tuple[_Mutation, ...] = (
    flip,
    overwrite,
    cut,
    double,
    truncate,
    lengthen,
    splice,
    other_version,
    other_size,
    other_codebook,
)
