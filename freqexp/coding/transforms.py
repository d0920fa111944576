"""Orthonormal DCT-II, blocks and radial frequency: pure functions on tensors.

The DCT is a matrix product with an explicit basis: for the sizes used here (blocks of 14, token
grids of some tens) that is faster than an FFT, works for every rectangular size and every device,
and is exact to the last few bits in float64.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def dct_matrix(
    n: int, dtype: torch.dtype = torch.float64, device: torch.device | str | None = None
) -> Tensor:
    """Orthonormal DCT-II basis D [n, n]: row u holds frequency u, `D @ x` transforms a column x.

    D[u, x] = s(u) cos(pi (2x + 1) u / 2n), s(0) = sqrt(1/n), s(u > 0) = sqrt(2/n). Computed in
    float64 and then rounded to `dtype`; |D D^T - I| stays below 1e-14 in float64.

    Raises:
        ValueError: n is not positive.
    """
    if n < 1:
        raise ValueError(f"n: got {n!r}, allowed: 1 or more")
    frequency = torch.arange(n).unsqueeze(1)
    position = torch.arange(n).unsqueeze(0)
    # The phase is reduced as an integer: cos of a large rounded angle would lose digits.
    phase = (2 * position + 1) * frequency % (4 * n)
    basis = torch.cos(phase.double() * (math.pi / (2 * n))) * math.sqrt(2 / n)
    basis[0] = math.sqrt(1 / n)
    return basis.to(device=device, dtype=dtype)


def dct2(x: Tensor, dims: tuple[int, int] = (-2, -1)) -> Tensor:
    """Orthonormal 2-D DCT-II of `x` over `dims`, each of any size; the shape is kept.

    The other dimensions are batch. Computed in the dtype of `x` (floating).
    """
    for dim in dims:
        x = _along(dct_matrix(x.shape[dim], x.dtype, x.device), x, dim)
    return x


def idct2(coefficients: Tensor, dims: tuple[int, int] = (-2, -1)) -> Tensor:
    """Inverse of `dct2` (the orthonormal 2-D DCT-III) over `dims`; the shape is kept."""
    for dim in dims:
        basis = dct_matrix(coefficients.shape[dim], coefficients.dtype, coefficients.device)
        coefficients = _along(basis.T, coefficients, dim)
    return coefficients


def _along(matrix: Tensor, x: Tensor, dim: int) -> Tensor:
    """Multiply `matrix` [n, n] onto dimension `dim` (of size n) of `x`; the shape is kept."""
    dim %= x.dim()
    if dim == x.dim() - 1:
        return x @ matrix.T
    # All dimensions behind `dim` become the columns of one wide product; nothing is transposed.
    return (matrix @ x.flatten(dim + 1)).view_as(x)


def split_blocks(x: Tensor, block: int) -> Tensor:
    """View [..., H, W] as blocks [..., H/block, block, W/block, block].

    Dimensions -3 and -1 run inside a block, -4 and -2 over the blocks. No data is moved: a
    transform over dimensions (-3, -1) of this view is a few large products, where blocks laid
    out one after the other, [n_blocks, block, block], would be thousands of tiny ones.

    Raises:
        ValueError: H or W is not a multiple of `block`.
    """
    height, width = x.shape[-2:]
    if block < 1 or height % block or width % block:
        raise ValueError(f"block: got {block!r}, allowed: a divisor of both {height} and {width}")
    return x.reshape(*x.shape[:-2], height // block, block, width // block, block)


def merge_blocks(blocks: Tensor) -> Tensor:
    """Inverse of `split_blocks`: [..., rows, block, columns, block] -> [..., H, W]."""
    return blocks.flatten(-2).flatten(-3, -2)


def radial_frequency(height: int, width: int) -> Tensor:
    """Radial frequency f(u, v) = sqrt(u^2 + v^2) of a DCT grid: float64 [height, width].

    u and v are the row and column indices of the coefficient (the paper's Algorithm 2, step 3),
    not divided by the size of the grid.
    """
    u = torch.arange(height, dtype=torch.float64).unsqueeze(1)
    v = torch.arange(width, dtype=torch.float64).unsqueeze(0)
    return torch.sqrt(u * u + v * v)


def band_positions(grid: tuple[int, int], edges: Sequence[float]) -> tuple[Tensor, ...]:
    """Raster positions of each radial band of a DCT grid (the paper's Algorithm 2, step 3).

    grid: (rows, columns). edges: rising limits; band i holds edges[i-1] <= f < edges[i], the first
    starts at the DC and the last has no upper limit. Returns len(edges) + 1 int64 tensors [n_i],
    increasing, which partition range(rows * columns); a band may be empty.
    """
    limits = torch.tensor(edges, dtype=torch.float64)
    band = torch.bucketize(radial_frequency(*grid).flatten(), limits, right=True)
    return tuple(torch.nonzero(band == index).flatten() for index in range(len(edges) + 1))
