"""Error bound, levels and edge cases of the uniform quantiser."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from freqexp.coding.quantize import quantize, step_size

bit_depths = st.integers(0, 16)
matrices = hnp.arrays(
    np.float64,
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=12),
    elements=st.floats(-1e6, 1e6, allow_subnormal=True),
)


@given(values=matrices, bits=bit_depths, dims=st.sampled_from([(0,), (1,), (0, 1)]))
@settings(max_examples=200)
def test_error_is_at_most_half_a_step(values: np.ndarray, bits: int, dims: tuple[int, ...]) -> None:
    x = torch.from_numpy(values)
    step = step_size(x.abs().amax(dims, keepdim=True), bits)
    error = (x - quantize(x, bits, dims)).abs()
    # Division and product round once each: at most two units in the last place of the value.
    rounding = 2 * np.finfo(np.float64).eps * x.abs()
    assert bool((error <= step / 2 + rounding).all())


@given(values=matrices, bits=st.integers(1, 6))
def test_levels_fit_the_bits_and_are_symmetric(values: np.ndarray, bits: int) -> None:
    x = torch.from_numpy(values)
    levels = quantize(x, bits, (0, 1))
    assert len(torch.unique(levels)) <= 2**bits
    if bits > 1:
        assert torch.equal(quantize(-x, bits, (0, 1)), -levels)


@pytest.mark.parametrize("bits", [2, 3, 8, 16])
def test_mid_tread_keeps_zero_and_both_peaks(bits: int) -> None:
    peak = 2.0 ** (bits - 1) - 1
    x = torch.tensor([-peak, 0.0, peak, 0.4, 0.6], dtype=torch.float64)
    assert quantize(x, bits, (0,)).tolist() == [-peak, 0, peak, 0, 1]


def test_every_level_is_used() -> None:
    x = torch.linspace(-1, 1, 10_001, dtype=torch.float64)
    assert [len(torch.unique(quantize(x, bits, (0,)))) for bits in range(7)] == [
        1, 2, 3, 7, 15, 31, 63,
    ]  # fmt: skip


def test_one_bit_is_the_sign() -> None:
    x = torch.tensor([-4.0, -1.0, 0.0, 3.0])
    assert quantize(x, 1, (0,)).tolist() == [-2, -2, 2, 2]


def test_no_bits_is_zero() -> None:
    assert quantize(torch.tensor([-4.0, 3.0]), 0, (0,)).tolist() == [0, 0]


@pytest.mark.parametrize("bits", range(17))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_zeros_stay_zero(bits: int, dtype: torch.dtype) -> None:
    result = quantize(torch.zeros(3, 2, dtype=dtype), bits, (0,))
    assert torch.equal(result, torch.zeros(3, 2, dtype=dtype))


def test_each_slice_has_its_own_scale() -> None:
    x = torch.tensor([[1.0, 100.0], [0.5, 60.0]], dtype=torch.float64)
    assert quantize(x, 2, (0,)).tolist() == [[1, 100], [0, 100]]
    assert quantize(x, 2, (0, 1)).tolist() == [[0, 100], [0, 100]]


def test_finer_is_closer_and_the_input_stays() -> None:
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(50, 20)))
    before = x.clone()
    errors = [float((x - quantize(x, bits, (0,))).square().sum()) for bits in range(17)]
    assert errors == sorted(errors, reverse=True)
    assert torch.equal(x, before)


def test_nothing_to_quantize() -> None:
    assert quantize(torch.zeros(0, 4), 8, (0,)).shape == (0, 4)


@pytest.mark.parametrize("bits", [-1, 17])
def test_bits_out_of_range(bits: int) -> None:
    with pytest.raises(ValueError, match=f"bits: got {bits}, allowed: 0 to 16"):
        quantize(torch.ones(2), bits, (0,))
