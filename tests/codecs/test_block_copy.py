"""Copied blocks and what they leave."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from bench.codec_pages import scanned, text_pages
from freqexp.codecs.base import decode
from freqexp.codecs.block_copy.choice import choose
from freqexp.codecs.block_copy.codec import BlockCopy
from freqexp.codecs.block_copy.copies import (
    ABOVE,
    FLAT,
    LEFT,
    NEW,
    Copies,
    decode_copies,
    encode_copies,
)
from freqexp.codecs.block_copy.rebuild import rebuilt
from freqexp.codecs.block_copy.search import MOST_ALIKE, SOURCES, not_too_often, sources_of
from freqexp.codecs.block_dct import BlockDct
from freqexp.coding.bitstream import BitstreamError, unpack
from freqexp.coding.integer_dct import differences
from freqexp.errors import ConfigError
from freqexp.nouns.page import Pixels


@pytest.fixture(scope="module")
def scan() -> Pixels:
    """A part of a scanned page, 150 x 301."""
    return np.ascontiguousarray(scanned(text_pages(1, pitch=22)[0].pixels, 3)[:150, 80:381])


def worst_block(page: Pixels, other: Pixels) -> float:
    """The largest root mean square difference of a block of 8 x 8."""
    height, width = (side // 8 for side in page.shape)
    apart = (page.astype(float) - other)[: 8 * height, : 8 * width]
    means = (apart**2).reshape(height, 8, width, 8).mean(axis=(1, 3))
    return float(np.sqrt(means.max()))


@pytest.mark.parametrize("step", [1, 8, 40, 120, 255])
def test_no_block_is_off_by_more_than_half_a_step(scan: Pixels, step: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 56), dtype=np.uint8)
    for page in (scan, noise, 255 - scan[:9, :300]):
        restored = BlockCopy(step=step).compress(page).pixels
        assert restored.shape == page.shape
        assert worst_block(page, restored) <= step / 2 + 0.5
        assert np.array_equal(decode(BlockCopy(step=step).encode(page)), restored)


def test_copies_pay_on_text_that_is_never_the_same(scan: Pixels) -> None:
    mine = BlockCopy(step=16).compress(scan)
    assert mine.stored_bytes is not None
    plain = next(
        result
        for step in range(30, 0, -1)
        if psnr_db(scan, (result := BlockDct(8, 1.0, step=step).compress(scan)).pixels)
        >= psnr_db(scan, mine.pixels)
    )
    assert plain.stored_bytes is not None
    assert mine.stored_bytes < 0.8 * plain.stored_bytes


def psnr_db(page: Pixels, other: Pixels) -> float:
    return float(-10 * np.log10(((page.astype(float) - other) ** 2).mean() / 255**2))


def test_the_encoder_sees_what_the_decoder_makes(scan: Pixels) -> None:
    page = np.pad(scan, ((0, 2), (0, 3)), mode="edge").astype(np.int16)
    copies, levels = choose(page, sources_of(page, 5.0), 20)
    assert {FLAT, LEFT, ABOVE, NEW} == set(np.unique(copies.modes))
    again = decode_copies(encode_copies(copies), (19, 38))
    for name in ("modes", "ups", "lefts"):
        assert np.array_equal(getattr(again, name), getattr(copies, name))
    restored = rebuilt(again, differences(levels, 20))
    assert np.array_equal(restored[:150, :301], BlockCopy(step=20).compress(scan).pixels)


def test_places_take_what_their_model_says(scan: Pixels) -> None:
    page = np.pad(scan, ((0, 2), (0, 3)), mode="edge").astype(np.int16)
    copies, _ = choose(page, sources_of(page, 5.0), 20)
    bits = 0.0
    weights = np.ones((8, 4))
    before = np.zeros(21, dtype=int)
    for column in copies.modes.T:
        seen = [4 * before[n] + 2 * before[n + 1] + before[n + 2] for n in range(19)]
        for context, mode in zip(seen, column, strict=True):
            bits -= np.log2(weights[context, mode] / weights[context].sum())
        for context, mode in zip(seen, column, strict=True):
            weights[context, mode] += 32
        before[1:-1] = column > 0
    rows = np.ones(152)
    for number, up in enumerate(copies.ups):
        if number % 64 == 0:
            current = rows.copy()
        bits -= np.log2(current[up] / current.sum()) - np.log2(297)
        rows[up] += 4
    assert bits <= 8 * len(encode_copies(copies)) < 1.02 * bits + 64


def test_sources_come_before_their_block_and_look_like_it() -> None:
    rng = np.random.default_rng(1)
    page = np.full((64, 80), 255, dtype=np.int16)
    letter = rng.integers(0, 255, (8, 8))
    for row, column in ((3, 5), (16, 40), (40, 24), (40, 48)):
        page[row : row + 8, column : column + 8] = letter
    found = sources_of(page, 5.0)
    assert found[16, 40][0] == (3, 5)
    assert set(found[40, 24][:2]) == {(3, 5), (16, 40)}
    assert set(found[40, 48][:3]) == {(3, 5), (16, 40), (40, 24)}
    for (row, column), sources in found.items():
        assert len(sources) <= SOURCES
        for top, left in sources:
            assert top + 8 <= row or (top <= row and left + 8 <= column)


def test_places_that_are_all_alike_are_few() -> None:
    """A tree can't part them, and every query would go through all."""
    rng = np.random.default_rng(4)
    kinds = rng.integers(0, 1 << 40, (3, 10)).astype(float)
    of = rng.integers(0, 3, 4000)
    parts = (np.arange(4000) >= 2500).astype(np.int64)
    kept = not_too_often(kinds[of], parts)
    assert (np.diff(kept) > 0).all()
    for part in (0, 1):
        for kind in range(3):
            alike = np.flatnonzero((of == kind) & (parts == part))
            mine = [n for n in kept if of[n] == kind and parts[n] == part]
            assert mine == alike[:MOST_ALIKE].tolist()
    stripes = (np.arange(320) % 2 * 200).astype(np.int16)[np.newaxis].repeat(240, axis=0)
    assert all(sources_of(stripes, 5.0)[row, 8] for row in range(8, 240, 8))


def test_colour_and_small_pages() -> None:
    rng = np.random.default_rng(2)
    colour = rng.integers(0, 256, (21, 30, 3), dtype=np.uint8)
    gray = np.repeat(colour[:, :, :1], 3, axis=2)
    for page in (colour, gray, colour[:1, :1], gray[:1], np.full((9, 1), 7, dtype=np.uint8)):
        restored = BlockCopy(step=3).compress(page).pixels
        assert restored.shape == page.shape
        assert np.abs(restored.astype(int) - page).max() < 16
    assert len(BlockCopy(step=3).encode(gray)) < 0.5 * len(BlockCopy(step=3).encode(colour))


def test_another_process_with_two_threads_writes_the_same(scan: Pixels) -> None:
    program = (
        "import sys, numpy as np\n"
        "from freqexp.codecs.block_copy.codec import BlockCopy\n"
        "page = np.frombuffer(sys.stdin.buffer.read(), np.uint8).reshape(150, 301)\n"
        "sys.stdout.buffer.write(BlockCopy(step=16).encode(page))\n"
    )
    mine = BlockCopy(step=16).encode(scan)
    for threads in ("1", "2"):
        variables = {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        command = [
            "env",
            *(f"{k}={v}" for k, v in variables.items()),
            sys.executable,
            "-c",
            program,
        ]
        told = subprocess.run(command, input=scan.tobytes(), capture_output=True, check=True)
        assert hashlib.sha256(told.stdout).digest() == hashlib.sha256(mine).digest()


def test_blocks_without_a_source_are_refused() -> None:
    modes = np.full((2, 2), FLAT, dtype=np.uint8)
    residual = np.zeros((16, 16), dtype=np.int16)

    def made(block: tuple[int, int], mode: int, *sources: tuple[int, int]) -> Pixels:
        changed = modes.copy()
        changed[block] = mode
        ups, lefts = np.array(sources, dtype=np.int64).reshape(-1, 2).T
        return rebuilt(Copies(changed, ups, lefts), residual)

    assert (made((1, 1), NEW, (8, 3)) == 255).all()
    for block, mode, *sources in (
        ((0, 0), NEW, (0, 0)),
        ((0, 1), NEW, (0, 1)),
        ((1, 0), NEW, (7, 0)),
        ((1, 0), NEW, (9, 0)),
        ((0, 0), LEFT),
        ((1, 0), ABOVE),
    ):
        with pytest.raises(BitstreamError, match="block"):
            made(block, mode, *sources)


def test_damage_behind_the_checksum_is_found(scan: Pixels) -> None:
    stream = unpack(BlockCopy(step=20).encode(scan))
    head, sections = stream.parameters, stream.sections
    for parameters in (b"", b"\0" + head[1:], head[:1] + b"\x02" + head[2:], head + b"\0"):
        with pytest.raises(BitstreamError):
            decode(replace(stream, parameters=parameters).pack())
    for number, section in enumerate(sections):
        changed = (*sections[:number], section + b"\1" * 8, *sections[number + 1 :])
        with pytest.raises(BitstreamError):
            decode(replace(stream, sections=changed).pack())
    blank = unpack(BlockCopy().encode(np.full((20, 20), 200, dtype=np.uint8)))
    assert blank.sections[4:] == (b"", b"", b"")
    with pytest.raises(BitstreamError, match="levels of blocks that there are not"):
        decode(replace(blank, sections=(*blank.sections[:6], b"\0")).pack())


def test_settings_outside_their_ranges() -> None:
    with pytest.raises(ConfigError) as caught:
        BlockCopy(keep_ratio=0, step=256)
    assert list(caught.value.faults) == [
        "keep_ratio: got 0, allowed: above 0, at most 1",
        "step: got 256, allowed: 1 to 255",
    ]
