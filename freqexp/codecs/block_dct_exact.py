"""The paper's image-level method as a study of coefficients: nothing is quantised or stored."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from freqexp.coding.transforms import dct2, idct2, merge_blocks, split_blocks
from freqexp.nouns.page import Pixels

_BLOCK_DIMS = (-3, -1)
_MAGNITUDE_GRID = 2.0**12
_HALF_UP = 0.5 + 2.0**-20


def threshold_page(
    planes: Pixels, block: int, keep_ratio: float, per_block: bool
) -> tuple[Pixels, float]:
    """Algorithm 1 in float64: (restored planes, coefficients over kept coefficients).

    planes: uint8 [planes, H, W], sides multiples of `block`; the result has the same shape.

    Among N coefficients the percentile keeps the K = 1 + floor(keep_ratio (N - 1)) largest, as long
    as none ties with tau. Here exactly K are kept (and the DCs), by magnitude rounded to a multiple
    of 2^-12 and, where that ties, by raster position. So rounding errors of the transform (about
    1e-12, and the only content of blank blocks) decide nothing: the result is the same with every
    number of threads, and the sets kept at growing keep ratios are nested. Where no coefficient
    ties with tau, it is the percentile rule.
    """
    restored, kept = threshold_blocks(
        torch.from_numpy(planes.astype(np.float64)), block, keep_ratio, per_block
    )
    # Halves are common (the mean of a block is its DC), so they must not depend on rounding errors:
    # a value within 2^-20 below a half counts as the half.
    rounded = restored.add_(_HALF_UP).floor_().clamp_(0, 255).to(torch.uint8).numpy()
    return rounded, kept.numel() / int(torch.count_nonzero(kept))


def threshold_blocks(
    planes: Tensor, block: int, keep_ratio: float, per_block: bool = False
) -> tuple[Tensor, Tensor]:
    """Steps 2 to 5 of Algorithm 1, before clipping: (restored, kept).

    planes: float64 [planes, H, W], H and W multiples of `block`. restored: float64, the same
    shape. kept: bool [planes, H/block, block, W/block, block], the coefficients that stayed.
    Without `per_block` all planes share one threshold.
    """
    coefficients = dct2(split_blocks(planes, block), _BLOCK_DIMS)
    magnitude = coefficients.abs().mul_(_MAGNITUDE_GRID).round_()
    if per_block:
        by_block = magnitude.transpose(2, 3)
        mask = largest(by_block.reshape(-1, block**2).numpy(), keep_ratio)
        kept = torch.from_numpy(mask).view(by_block.shape).transpose(2, 3).contiguous()
    else:
        mask = largest(magnitude.view(1, -1).numpy(), keep_ratio)
        kept = torch.from_numpy(mask).view(magnitude.shape)
    kept[:, :, 0, :, 0] = True
    return merge_blocks(idct2(coefficients.mul_(kept), _BLOCK_DIMS)), kept


def largest(magnitude: npt.NDArray[np.float64], keep_ratio: float) -> npt.NDArray[np.bool_]:
    """Mask of the K = 1 + floor(keep_ratio (N - 1)) largest of each row of `magnitude` [rows, N].

    Of equal values the first ones are taken, so every row has exactly K and the sets are nested
    in keep_ratio.
    """
    size = magnitude.shape[1]
    # The guard keeps e.g. 0.3 * 10 = 2.9999999999999996 from losing a coefficient.
    count = 1 + math.floor(keep_ratio * (size - 1) + 1e-9)
    pivot = np.partition(magnitude, size - count, axis=1)[:, size - count, np.newaxis]
    kept: npt.NDArray[np.bool_] = magnitude >= pivot
    surplus = np.count_nonzero(kept, axis=1) - count
    if surplus.any():
        tied = np.flatnonzero(magnitude == pivot)  # row after row
        row = tied // size
        row_ends = np.cumsum(np.bincount(row, minlength=len(magnitude)))
        too_late = np.arange(len(tied)) >= (row_ends - surplus)[row]
        kept.reshape(-1)[tied[too_late]] = False
    return kept
