"""Numbers of few bits in bytes, and the quantiser over groups, against scalar loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from freqexp.kv.packing import BITS, Groups, dequantise, pack, quantise, unpack

GROUP = 8
MAGNITUDES = (1e-40, 1e-38, 1e-20, 1.0, 3e4, 1e30, 1e38)


def numbers(kind: str, magnitude: float = 1.0, groups: int = 6) -> Tensor:
    """float32 [3, groups * GROUP]."""
    rng = np.random.default_rng(groups)
    noise = rng.uniform(-1, 1, (3, groups * GROUP))
    noise[1] = abs(noise[1])
    noise[2] = -abs(noise[2])
    if kind == "constant":
        noise = np.repeat(noise[:, ::GROUP], GROUP, axis=1)
    elif kind == "far from 0":
        noise = 0.9 + noise / 1000
    return torch.from_numpy(noise * magnitude).float()


def bfloat16_above(number: np.float32) -> np.float32:
    """The smallest bfloat16 that is not below a finite number, by its bits."""
    bits = int(number.view(np.uint32))
    lower = bits & 0xFFFF
    bits -= lower  # towards 0
    if lower and not bits >> 31:
        bits += 1 << 16
    return np.uint32(bits).view(np.float32)


def reference(group: list[float], bits: int) -> tuple[list[int], np.float32, np.float32]:
    """Codes, step and smallest number of one group, a number at a time in float32."""
    smallest = largest = np.float32(group[0])
    for number in map(np.float32, group):
        smallest = number if number < smallest else smallest
        largest = number if number > largest else largest
    zero = -bfloat16_above(-smallest)
    step = bfloat16_above((largest - zero) / np.float32(2**bits - 1))
    codes = []
    for number in map(np.float32, group):
        code = 0 if step == 0 else int(np.rint((number - zero) / step))
        codes.append(min(max(code, 0), 2**bits - 1))
    return codes, step, zero


def levels(groups: Groups, bits: int) -> Tensor:
    """float64 [..., groups, GROUP], by a loop over the bytes of the codes."""
    flat = groups.codes.reshape(-1, groups.codes.shape[-1]).tolist()
    steps, zeros = groups.scales.double().flatten(), groups.zeros.double().flatten()
    rows = []
    for row, step, zero in zip(flat, steps.tolist(), zeros.tolist(), strict=True):
        codes = [byte >> shift & (2**bits - 1) for byte in row for shift in range(0, 8, bits)]
        rows.append([code * step + zero for code in codes])
    return torch.tensor(rows, dtype=torch.float64).reshape(*groups.scales.shape, -1)


@pytest.mark.parametrize("bits", BITS)
@given(data=st.data())
def test_what_was_packed_comes_out(bits: int, data: st.DataObject) -> None:
    whole = 8 // bits
    shape = data.draw(st.tuples(st.integers(0, 3), st.integers(0, 9).map(lambda n: n * whole)))
    size = shape[0] * shape[1]
    codes = data.draw(st.lists(st.integers(0, 2**bits - 1), min_size=size, max_size=size))
    given = torch.tensor(codes, dtype=torch.uint8).reshape(shape)
    packed = pack(given, bits)
    assert packed.dtype == torch.uint8
    assert packed.shape == (shape[0], shape[1] * bits // 8)
    assert torch.equal(unpack(packed, bits), given)


@pytest.mark.parametrize("bits", BITS)
def test_every_byte_is_used(bits: int) -> None:
    every = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(pack(unpack(every, bits), bits), every)


def test_the_first_of_a_byte_is_lowest() -> None:
    assert pack(torch.tensor([1, 2, 3, 0], dtype=torch.uint8), 2).tolist() == [0b00111001]


@pytest.mark.parametrize(("count", "bits"), [(3, 2), (5, 4)])
def test_codes_that_fill_no_whole_bytes(count: int, bits: int) -> None:
    with pytest.raises(ValueError, match=f"got {count} of {bits} bits, allowed: whole bytes"):
        pack(torch.zeros(2, count, dtype=torch.uint8), bits)


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("kind", ["spread", "constant", "far from 0"])
@pytest.mark.parametrize("magnitude", MAGNITUDES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_quantiser_is_the_scalar_loop(
    bits: int, kind: str, magnitude: float, dtype: torch.dtype
) -> None:
    given = numbers(kind, magnitude).to(dtype)
    groups = quantise(given, GROUP, bits)
    assert groups.scales.dtype == groups.zeros.dtype == torch.bfloat16
    codes = unpack(groups.codes, bits)
    for row in range(given.shape[0]):
        for place in range(given.shape[1] // GROUP):
            group = given[row, place * GROUP : (place + 1) * GROUP].tolist()
            expected, step, zero = reference(group, bits)
            assert codes[row, place].tolist() == expected
            assert groups.scales[row, place].item() == step
            assert groups.zeros[row, place].item() == zero


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("kind", ["spread", "constant", "far from 0"])
@pytest.mark.parametrize("magnitude", MAGNITUDES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_no_number_is_further_from_its_level_than_half_a_step(
    bits: int, kind: str, magnitude: float, dtype: torch.dtype
) -> None:
    given = numbers(kind, magnitude, groups=40).to(dtype)
    groups = quantise(given, GROUP, bits)
    exact = given.double().unflatten(-1, (-1, GROUP))
    largest = exact.abs().amax(dim=-1, keepdim=True)
    # What float32 rounds: the number less the smallest, the step; the least there is in float32.
    slack = largest * 2**-22 + 2 ** (bits - 149)
    error = (levels(groups, bits) - exact).abs()
    assert bool((error <= groups.scales.double()[..., None] / 2 + slack).all())


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("magnitude", MAGNITUDES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_read_are_the_levels_rounded_once(
    bits: int, magnitude: float, dtype: torch.dtype
) -> None:
    groups = quantise(numbers("spread", magnitude), GROUP, bits)
    read = dequantise(groups, bits, dtype)
    assert read.dtype == dtype
    assert torch.equal(read, levels(groups, bits).flatten(-2).float().to(dtype))


def test_more_bits_are_closer() -> None:
    given = numbers("spread", groups=40)
    errors = [
        float((dequantise(quantise(given, GROUP, bits), bits, torch.float32) - given).abs().max())
        for bits in BITS
    ]
    assert errors[0] > 4 * errors[1] > 16 * errors[2]


def test_groups_of_a_constant_that_bfloat16_holds_are_exact() -> None:
    given = torch.tensor([[-2.5] * GROUP + [0.0] * GROUP + [96.0] * GROUP])
    groups = quantise(given, GROUP, 2)
    assert not groups.codes.any()
    assert torch.equal(dequantise(groups, 2, torch.float32), given)


def test_a_group_that_does_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="group: got 5, allowed: one that divides 48"):
        quantise(numbers("spread"), 5, 8)
