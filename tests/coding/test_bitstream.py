"""The container: one form for each content, and a named fault for everything else."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freqexp.codecs.base import decode
from freqexp.codecs.png import Png
from freqexp.coding.bitstream import MAX_SAMPLES, Bitstream, BitstreamError, Cursor, unpack, varint

STREAM = Bitstream(2, (3, 5), b"ab", (b"", b"xyz" * 50))


def repaired(data: bytes) -> bytes:
    """`data` with a right checksum."""
    return data[:-4] + zlib.crc32(data[:-4]).to_bytes(4, "little")


def patched(place: int, value: bytes) -> bytes:
    data = bytearray(STREAM.pack())
    data[place : place + len(value)] = value
    return bytes(data)


@given(
    code=st.integers(0, 255),
    sides=st.tuples(st.integers(1, 999), st.integers(1, 999)),
    colour=st.booleans(),
    parameters=st.binary(max_size=300),
    sections=st.lists(st.binary(max_size=300), max_size=16),
)
def test_round_trip(
    code: int, sides: tuple[int, int], colour: bool, parameters: bytes, sections: list[bytes]
) -> None:
    stream = Bitstream(code, (*sides, 3) if colour else sides, parameters, tuple(sections))
    assert unpack(stream.pack()) == stream


@given(st.integers(0, 2**35 - 1))
def test_varint(value: int) -> None:
    cursor = Cursor(varint(value), "test")
    assert cursor.varint() == value
    cursor.end()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"empty \(0 bytes\)"),
        (b"\x89PNG\r\n", "starts with"),
        (STREAM.pack()[:10], "truncated, 10 bytes are less than a header"),
        (STREAM.pack()[:-1], "truncated, 3 bytes are left where 4 belong"),
        (STREAM.pack() + b"\0", "too long, 1 bytes follow its end"),
        (patched(4, b"\2"), "version 2, this program reads 1"),
        (patched(20, b"?"), "the checksum does not match"),
        (repaired(patched(6, b"\4")), "4 channels"),
        (repaired(patched(7, b"\0\0")), "5 x 0 pixels is empty"),
        (repaired(patched(7, b"\xff\xff\xff\xff")), f"too large, allowed: at most {MAX_SAMPLES}"),
        (patched(11, b"\x82\0"), "not in its shortest form"),
        (patched(11, b"\xff\xff\xff\xff\xff"), "longer than 5 bytes"),
        (patched(14, b"\x11"), "17 sections, allowed: at most 16"),
    ],
)
def test_faults_have_names(data: bytes, message: str) -> None:
    with pytest.raises(BitstreamError, match=message):
        unpack(data)


def test_unknown_codec() -> None:
    with pytest.raises(BitstreamError, match="codec 99, this program knows 1 to"):
        decode(Bitstream(99, (1, 1), b"", ()).pack())


def test_wrong_number_of_sections() -> None:
    with pytest.raises(BitstreamError, match="2 sections, Png has 1"):
        decode(Bitstream(Png.code, (1, 1), b"", (b"", b"")).pack())
