"""Uniform scalar quantisation: pure functions on tensors."""

from __future__ import annotations

import torch
from torch import Tensor

MAX_BITS = 16


def step_size(peak: Tensor, bits: int) -> Tensor:
    """Distance between neighbouring levels for values in [-peak, peak]; the shape of `peak`.

    bits >= 2: peak / (2^(bits-1) - 1), a mid-tread quantiser with 2^bits - 1 levels placed
    symmetrically about zero, so that zero and both peaks are levels.
    1 bit: peak; a zero level would leave one code for both signs, so the two levels are the signs,
    +-peak/2 (mid-rise). 0 bits: 2 peak; the only level is zero.
    In each case every value lies within step/2 of a level.

    Raises:
        ValueError: bits is not in 0..16.
    """
    if not 0 <= bits <= MAX_BITS:
        raise ValueError(f"bits: got {bits!r}, allowed: 0 to {MAX_BITS}")
    if bits == 0:
        return 2 * peak
    if bits == 1:
        return peak
    # A step that underflows would divide by zero: an all-zero input has a step too, and stays zero.
    levels_above_zero: int = 2 ** (bits - 1) - 1
    return (peak / levels_above_zero).clamp_min(torch.finfo(peak.dtype).tiny)


def quantize(values: Tensor, bits: int, dims: tuple[int, ...]) -> Tensor:
    """Round `values` (floating, any shape) to the nearest level; same shape and dtype.

    One scale for each slice: its largest magnitude, taken over `dims`. The result c' holds levels,
    not codes, with |c - c'| <= step/2 (`step_size`). Halves go to the even level. All-zero slices
    stay zero. The input must be finite.

    Raises:
        ValueError: bits is not in 0..16.
    """
    if bits == 0 or values.numel() == 0:
        return torch.zeros_like(values)
    step = step_size(values.abs().amax(dims, keepdim=True), bits)
    if bits == 1:
        return torch.where(values < 0, -0.5, 0.5) * step
    return (values / step).round_().mul_(step)
