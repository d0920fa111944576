"""block_dct with its bitstream: the integer transform, the selection and the pages."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.fft
from hypothesis import given, settings
from hypothesis import strategies as st

from freqexp.codecs.base import decode
from freqexp.codecs.block_dct import BlockDct, keep_largest, keep_largest_of_blocks
from freqexp.coding.bitstream import Bitstream, BitstreamError, unpack, varint
from freqexp.coding.integer_dct import Ints, forward, highest_level, inverse
from freqexp.nouns.page import Pixels


def random_page(shape: tuple[int, ...], seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


@pytest.mark.parametrize("step", [1, 7, 64])
@pytest.mark.parametrize("block", [1, 2, 8, 14, 20])
def test_forward_is_the_dct(block: int, step: int) -> None:
    page = random_page((3 * block, 2 * block))
    levels = forward(page, block, step)
    for row in range(3):
        for column in range(2):
            area = (
                slice(row * block, (row + 1) * block),
                slice(column * block, (column + 1) * block),
            )
            exact = scipy.fft.dctn(page[area].astype(np.float64), norm="ortho") / step
            # Half a step, and what rounding the basis adds.
            assert np.abs(levels[row, :, column] - exact).max() <= 0.5 + 0.05 * block / step


@pytest.mark.parametrize("block", [1, 8, 14, 128])
def test_inverse_gives_the_page_back_within_one(block: int) -> None:
    page = random_page((2 * block, 3 * block))
    difference = inverse(forward(page, block, 1), 1).astype(int) - page
    assert np.abs(difference).max() <= 2
    assert np.mean(difference != 0) < 0.15


@pytest.mark.parametrize("block", [1, 13, 128])
def test_no_page_exceeds_the_highest_level(block: int) -> None:
    sign = (np.indices((block, block)).sum(axis=0) % 2 * 255).astype(np.uint8)
    for page in (sign, np.full_like(sign, 255)):
        for step in (1, 3, 255):
            assert np.abs(forward(page, block, step)).max() <= highest_level(block, step)


def rank(levels: Ints, keep_ratio: float) -> Ints:
    """`keep_largest`, by sorting."""
    rows, block, columns, _ = levels.shape
    entries = []
    for index in np.ndindex(levels.shape):
        row, u, column, v = index
        position = u * block + v
        size = 1 << 20 if position == 0 else abs(int(levels[index]))
        entries.append((-size, position, row, column, index))
    entries.sort()
    count = max(1 + int(keep_ratio * (levels.size - 1) + 1e-9), rows * columns)
    kept = np.zeros_like(levels)
    for *_, index in entries[:count]:
        kept[index] = levels[index]
    return kept


@given(
    seed=st.integers(0, 1000),
    block=st.integers(1, 6),
    top=st.sampled_from([1, 3, 50]),
    keep_ratio=st.floats(0.001, 1),
)
@settings(max_examples=80)
def test_selection_is_a_sort(seed: int, block: int, top: int, keep_ratio: float) -> None:
    rng = np.random.default_rng(seed)
    levels = rng.integers(-top, top + 1, (3, block, 2, block)).astype(np.int16)
    expected = rank(levels, keep_ratio)
    chosen = levels.copy()
    keep_largest(chosen, keep_ratio)
    np.testing.assert_array_equal(chosen, expected)
    whole = levels[:1, :, :1].copy()
    expected = rank(whole, keep_ratio)
    keep_largest_of_blocks(whole, keep_ratio)
    np.testing.assert_array_equal(whole, expected)


@pytest.mark.parametrize("step", [1, 16])
@pytest.mark.parametrize("threshold", ["image", "block"])
def test_pages_are_those_of_the_paper_within_the_quantiser(
    text_page: Pixels, threshold: str, step: int
) -> None:
    page = text_page[:280, :294]
    for keep_ratio in (0.1, 0.3, 0.5):
        stored = BlockDct(14, keep_ratio, threshold, step=step).compress(page)
        study = BlockDct(14, keep_ratio, threshold, bitstream=False).compress(page)
        errors = [
            np.square(result.pixels.astype(float) - page).mean() for result in (stored, study)
        ]
        assert errors[0] < errors[1] + step**2 / 4
        assert stored.nominal_ratio == pytest.approx(study.nominal_ratio, rel=0.01)


def test_larger_steps_take_fewer_bytes(text_page: Pixels) -> None:
    page = text_page[:140, :280]
    sizes = [len(BlockDct(14, 1.0, step=step).encode(page)) for step in (1, 4, 16, 64, 255)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < sizes[0] / 5


@pytest.mark.parametrize("level", [0, 128, 255])
def test_blank_pages_stay_blank(level: int) -> None:
    page = np.full((50, 31, 3), level, dtype=np.uint8)
    result = BlockDct(14, 0.01).compress(page)
    np.testing.assert_array_equal(result.pixels, page)
    assert result.stored_bytes is not None
    assert result.stored_bytes < 150


def test_hostile_parameters(text_page: Pixels) -> None:
    stream = unpack(BlockDct(14, 0.3).encode(text_page[:30, :30]))

    def with_parameters(*values: int) -> bytes:
        return Bitstream(1, stream.shape, b"".join(map(varint, values)), stream.sections).pack()

    for block, step in ((0, 1), (129, 1), (14, 0), (14, 256)):
        with pytest.raises(BitstreamError, match=f"block {block}, step {step}"):
            decode(with_parameters(block, step, 1))
    with pytest.raises(BitstreamError, match="block_dct: truncated"):
        decode(with_parameters(14, 1))
    with pytest.raises(BitstreamError, match="block_dct: too long"):
        decode(with_parameters(14, 1, 1, 1))
    with pytest.raises(BitstreamError, match="smallest level 9999"):
        decode(with_parameters(14, 1, 9999))
