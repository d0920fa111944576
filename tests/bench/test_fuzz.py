"""Mutated bitstreams of every codec and of tokens: decoded or a BitstreamError, nothing else."""

from __future__ import annotations

import time
import zlib

import numpy as np
import pytest

from bench.fuzz import BY_PROGRAMS, fuzz, installed, restore, seeds
from bench.mutations import CHECKSUM_BYTES, MUTATIONS
from freqexp.codecs.numbers import codes
from freqexp.coding.bitstream import BitstreamError, Cursor, unpack, varint
from freqexp.tokens.container import MAGIC

CODE_AT, HEIGHT_AT, TOKENS_SIZE_AT = 5, 7, 6


def repaired(data: bytes) -> bytes:
    """With a right checksum."""
    body = data[:-CHECKSUM_BYTES]
    return body + zlib.crc32(body).to_bytes(CHECKSUM_BYTES, "little")


def test_every_codec_and_all_kinds_of_tokens_are_fuzzed() -> None:
    streams = seeds()
    pages = [data for data in streams if data[: len(MAGIC)] != MAGIC]
    absent = {code for code, of in BY_PROGRAMS.items() if of not in installed()}
    assert {data[CODE_AT] for data in pages} == set(codes()) - absent
    assert {data[CODE_AT] for data in streams if data not in pages} == {1, 2, 3}
    assert all(restore(data) for data in streams)


def test_symbols_of_every_way_are_fuzzed() -> None:
    streams = [unpack(data) for data in seeds() if data[: len(MAGIC)] != MAGIC]
    symbols = [stream for stream in streams if stream.code == 16]
    assert {stream.parameters[0] for stream in symbols} == {0, 1, 2, 3}
    ways, names = set(), set()
    for stream in symbols:
        cursor = Cursor(stream.parameters, "symbols")
        if cursor.varint() == 0:
            levels, planes = cursor.varint(), cursor.varint()
            assert levels in (2, 256)
            assert planes in (1, 3)
            names.add(len(cursor.block()))
            ways.add(stream.sections[1][0])
    assert ways == {0, 1, 2}
    assert names == {0, 4}


def test_a_hundred_thousand_mutations() -> None:
    outcome = fuzz(seeds(), 100_000, seed=1, repaired=0.1)
    assert outcome.failures == []
    assert sum(outcome.counts.values()) == 100_000
    # What lies behind the checksum was met, too.
    met = {"masks", "values", "scales", "PNG", "WEBP", "JPEG XL", "ppm", "symbols", "strips"}
    assert {"decoded", *met} <= set(outcome.counts)
    assert outcome.slowest_ms < 20_000


@pytest.mark.parametrize(
    "code", [11, 16, 17, None], ids=["block_vq", "symbols", "strips", "tokens"]
)
def test_hostile_bitstreams_with_a_right_checksum(code: int | None) -> None:
    chosen = [d for d in seeds() if (None if d[: len(MAGIC)] == MAGIC else d[CODE_AT]) == code]
    outcome = fuzz(chosen, 500, seed=2, repaired=1)
    assert outcome.failures == []
    assert outcome.counts["decoded"] > 0
    assert outcome.slowest_ms < 20_000


def test_every_mutation_changes_some_bitstream() -> None:
    streams = seeds()
    for mutation in MUTATIONS:
        rng = np.random.default_rng(0)
        changed = 0
        for stream in streams:
            data = bytearray(stream)
            mutation(data, streams, rng)
            changed += data != stream
        assert changed, mutation


def test_a_page_of_any_size_is_refused_or_decoded_soon() -> None:
    for stream in seeds():
        if stream[: len(MAGIC)] == MAGIC:
            continue
        for height, width in ((0xFFFF, 0xFFFF), (0xFFFF, 1), (0, 0xFFFF), (1500, 1400)):
            data = bytearray(stream)
            data[HEIGHT_AT : HEIGHT_AT + 4] = np.array([height, width], dtype="<u2").tobytes()
            start = time.perf_counter()
            try:
                assert restore(repaired(bytes(data)))
            except BitstreamError:
                assert (height, width) != stream
            assert time.perf_counter() - start < 20


@pytest.mark.parametrize("grid", [(11585, 11585), (1, 1 << 27), (1 << 27, 1), (1 << 34, 1)])
def test_tokens_of_any_number_are_refused_at_once(grid: tuple[int, int]) -> None:
    for stream in seeds():
        if stream[: len(MAGIC)] != MAGIC:
            continue
        # Rows, columns and channels take a byte each.
        after = stream[TOKENS_SIZE_AT + 3 :]
        head = stream[:TOKENS_SIZE_AT] + varint(grid[0]) + varint(grid[1]) + varint(1)
        start = time.perf_counter()
        with pytest.raises(BitstreamError, match=r"allowed: at most \d+ tokens|number is longer"):
            restore(repaired(head + after))
        assert time.perf_counter() - start < 5
