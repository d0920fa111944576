"""Principal components of keys and of values."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Basis(NamedTuple):
    """Of one layer's keys, or values: directions [KV heads, r, channels], orthonormal, those of the
    most variance first, and the mean [KV heads, channels] that they go out from.
    """

    directions: Tensor
    mean: Tensor


def directions(scatter: Tensor) -> Tensor:
    """Eigenvectors [heads, d, d] of float64 [heads, d, d], one a row, that of the largest
    eigenvalue first. The largest number of each is positive.
    """
    found: Tensor = torch.linalg.eigh(scatter).eigenvectors.mT.flip(-2)
    largest = found.abs().argmax(dim=-1, keepdim=True)
    return found * found.gather(-1, largest).sign()


def principal(numbers: Tensor, rank: int) -> Basis:
    """The `rank` directions of the most variance of [heads, T, d], a head at a time, in its dtype.

    Directions are those around the mean as it is stored.
    """
    wide = numbers.double()
    mean = wide.mean(dim=1).to(numbers.dtype)
    centred = wide - mean.double()[:, None]
    found = directions(centred.mT @ centred)[:, :rank]
    return Basis(found.to(numbers.dtype).contiguous(), mean)


def coefficients(numbers: Tensor, basis: Basis) -> Tensor:
    """[heads, T, d] -> [heads, T, r], in its dtype."""
    wide = torch.promote_types(numbers.dtype, torch.float32)
    centred = numbers.to(wide) - basis.mean.to(wide)[:, None]
    return (centred @ basis.directions.to(wide).mT).to(numbers.dtype)


def restored(codes: Tensor, basis: Basis) -> Tensor:
    """[heads, T, r] -> [heads, T, d], in its dtype."""
    wide = torch.promote_types(codes.dtype, torch.float32)
    numbers = codes.to(wide) @ basis.directions.to(wide)
    return (numbers + basis.mean.to(wide)[:, None]).to(codes.dtype)
