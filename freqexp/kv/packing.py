"""Numbers of 2, 4 or 8 bits in bytes, and an asymmetric quantiser over groups of numbers."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

BITS = (2, 4, 8)


class Groups(NamedTuple):
    """Quantised numbers [..., groups, group].

    codes: uint8 [..., groups, group * bits / 8]. scales, zeros: bfloat16 [..., groups], the step
    and the smallest number of each group.
    """

    codes: Tensor
    scales: Tensor
    zeros: Tensor


def pack(codes: Tensor, bits: int) -> Tensor:
    """uint8 [..., n] below 2 ** bits -> uint8 [..., n * bits / 8], the first lowest in its byte.

    Raises ValueError unless n * bits is whole bytes.
    """
    if codes.shape[-1] * bits % 8:
        raise ValueError(f"codes: got {codes.shape[-1]} of {bits} bits, allowed: whole bytes")
    parts = codes.unflatten(-1, (-1, 8 // bits))
    packed = torch.zeros_like(parts[..., 0])
    for place in range(8 // bits):
        packed |= parts[..., place] << (place * bits)
    return packed


def unpack(packed: Tensor, bits: int) -> Tensor:
    """uint8 [..., m] -> uint8 [..., m * 8 / bits], what `pack` was given."""
    parts = [(packed >> shift) & (2**bits - 1) for shift in range(0, 8, bits)]
    return torch.stack(parts, dim=-1).flatten(-2)


def quantise(numbers: Tensor, group: int, bits: int) -> Groups:
    """Round `numbers` [..., n] to 2 ** bits levels in each group of `group` neighbours, from the
    smallest to the largest of them.

    The smallest is rounded down and the step up to what is stored of them, so that no number is
    further from its level than half a stored step. Raises ValueError unless n is whole groups.
    """
    if numbers.shape[-1] % group:
        raise ValueError(f"group: got {group}, allowed: one that divides {numbers.shape[-1]}")
    grouped = numbers.float().unflatten(-1, (-1, group))
    zeros = -_rounded_up(-grouped.amin(dim=-1))
    levels = 2**bits - 1
    scales = _rounded_up((grouped.amax(dim=-1) - zeros.float()) / levels)
    steps = torch.where(scales > 0, scales.float(), 1.0)[..., None]
    codes = ((grouped - zeros.float()[..., None]) / steps).round_().clamp_(0, levels)
    return Groups(pack(codes.to(torch.uint8), bits), scales, zeros)


def dequantise(groups: Groups, bits: int, dtype: torch.dtype) -> Tensor:
    """`Groups` -> [..., groups * group]."""
    codes = unpack(groups.codes, bits).float()
    levels = codes * groups.scales.float()[..., None] + groups.zeros.float()[..., None]
    return levels.to(dtype).flatten(-2)


def _rounded_up(numbers: Tensor) -> Tensor:
    """The bfloat16 above, or at, each number."""
    near = numbers.to(torch.bfloat16)
    above = torch.nextafter(near, torch.full_like(near, torch.inf))
    return torch.where(near.float() < numbers, above, near)
