"""Orthonormality, Parseval, agreement with scipy.fft, blocks and bands."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.fft
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from freqexp.coding.transforms import (
    band_positions,
    dct2,
    dct_matrix,
    idct2,
    merge_blocks,
    radial_frequency,
    split_blocks,
)

sides = st.integers(1, 33)
seeds = st.integers(0, 2**32 - 1)


def normal(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


@given(n=st.integers(1, 300))
@settings(max_examples=40)
def test_basis_is_orthonormal(n: int) -> None:
    basis = dct_matrix(n)
    assert basis.dtype == torch.float64
    assert (basis @ basis.T - torch.eye(n, dtype=torch.float64)).abs().max() <= 1e-14


@pytest.mark.parametrize("n", [1, 2, 7, 14, 21, 30, 842])
def test_basis_is_scipys_dct(n: int) -> None:
    expected = scipy.fft.dct(np.eye(n), axis=0, norm="ortho")
    np.testing.assert_allclose(dct_matrix(n).numpy(), expected, rtol=0, atol=1e-14)


def test_basis_rounds_to_the_dtype_asked_for() -> None:
    assert torch.equal(dct_matrix(14, torch.float32), dct_matrix(14).float())


def test_basis_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="n: got 0, allowed: 1 or more"):
        dct_matrix(0)


@given(height=sides, width=sides, seed=seeds)
@settings(max_examples=40)
def test_parseval_and_inverse(height: int, width: int, seed: int) -> None:
    x = normal((3, height, width), seed)
    coefficients = dct2(x)
    torch.testing.assert_close(coefficients.square().sum(), x.square().sum(), rtol=1e-13, atol=0)
    torch.testing.assert_close(idct2(coefficients), x, rtol=0, atol=1e-13)


@pytest.mark.parametrize("dims", [(0, 1), (-2, -1), (-3, -1), (1, 2), (2, 0)])
@pytest.mark.parametrize("shape", [(30, 21, 5), (12, 12, 12), (1, 7, 4), (7, 1, 1), (1, 1, 1)])
def test_dct2_is_scipys_along_every_pair_of_dimensions(
    dims: tuple[int, int], shape: tuple[int, ...]
) -> None:
    x = normal(shape, 0)
    expected = x.numpy()
    for dim in dims:
        expected = scipy.fft.dct(expected, axis=dim, norm="ortho")
    np.testing.assert_allclose(dct2(x, dims).numpy(), expected, rtol=0, atol=1e-13)
    np.testing.assert_allclose(idct2(dct2(x, dims), dims).numpy(), x.numpy(), rtol=0, atol=1e-13)


def test_dct2_takes_strided_input_and_leaves_it_alone() -> None:
    x = normal((6, 5, 4), 1).permute(2, 0, 1)
    before = x.clone()
    torch.testing.assert_close(dct2(x), dct2(x.contiguous()), rtol=0, atol=1e-14)
    assert torch.equal(x, before)


def test_dct2_stays_in_float32() -> None:
    x = normal((30, 21), 2).float()
    assert dct2(x).dtype == torch.float32
    torch.testing.assert_close(dct2(x).double(), dct2(x.double()), rtol=0, atol=1e-5)


def test_blocks_are_the_tiles_of_the_image() -> None:
    image = torch.arange(2 * 6 * 8).view(2, 6, 8)
    blocks = split_blocks(image, 2)
    assert blocks.shape == (2, 3, 2, 4, 2)
    for row in range(3):
        for column in range(4):
            tile = image[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            assert torch.equal(blocks[:, row, :, column], tile)
    assert blocks.data_ptr() == image.data_ptr()
    assert torch.equal(merge_blocks(blocks), image)


@pytest.mark.parametrize("block", [0, 3, 4])
def test_blocks_must_tile_the_image(block: int) -> None:
    with pytest.raises(ValueError, match=f"block: got {block}, allowed: a divisor of both 6 and 8"):
        split_blocks(torch.zeros(6, 8), block)


def test_radial_frequency_by_hand() -> None:
    frequency = radial_frequency(30, 21)
    for u in range(30):
        for v in range(21):
            assert float(frequency[u, v]) == pytest.approx(math.hypot(u, v), rel=1e-15)


@given(
    height=sides, width=sides, edges=st.lists(st.floats(0, 40), min_size=2, max_size=2).map(sorted)
)
def test_bands_partition_the_grid(height: int, width: int, edges: list[float]) -> None:
    bands = band_positions((height, width), edges)
    positions = [(int(p), i) for i, band in enumerate(bands) for p in band]
    assert sorted(p for p, _ in positions) == list(range(height * width))
    for position, index in positions:
        frequency = math.sqrt((position // width) ** 2 + (position % width) ** 2)
        assert index == (frequency >= edges[0]) + (frequency >= edges[1])


def test_band_sizes_of_the_papers_grid() -> None:
    assert [len(band) for band in band_positions((12, 12), (4, 8))] == [15, 41, 88]


def test_a_frequency_on_an_edge_belongs_to_the_upper_band() -> None:
    low, mid, high = band_positions((1, 9), (4, 8))
    assert (low.tolist(), mid.tolist(), high.tolist()) == ([0, 1, 2, 3], [4, 5, 6, 7], [8])
