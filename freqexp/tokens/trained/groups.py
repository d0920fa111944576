"""Groups of neighbours on a page's grid, and their transform."""

from __future__ import annotations

import torch
from torch import Tensor

from freqexp.coding.transforms import dct_matrix, radial_frequency


def groups_of(grid: tuple[int, int], rows: int, columns: int) -> Tensor:
    """Raster positions of the members of each group of `rows` x `columns` tokens: int64
    [groups, rows * columns], groups and members in raster order.

    A group that the grid's right or lower edge cuts off repeats its last column or row.
    """
    down, across = _members(grid[0], rows), _members(grid[1], columns)
    places = down[:, None, :, None] * grid[1] + across[None, :, None, :]
    return places.reshape(-1, rows * columns)


def merged_grid(grid: tuple[int, int], rows: int, columns: int) -> tuple[int, int]:
    """Rows and columns of the groups."""
    return -(-grid[0] // rows), -(-grid[1] // columns)


def _members(size: int, group: int) -> Tensor:
    """int64 [ceil(size / group), group]."""
    starts = torch.arange(0, size, group).unsqueeze(1)
    return (starts + torch.arange(group)).clamp_max_(size - 1)


def group_basis(rows: int, columns: int) -> Tensor:
    """Orthonormal 2-D DCT-II of a group, float64 [g, g]: row k makes coefficient k of the members,
    in order of radial frequency, equal ones in raster order. Row 0 is 1 / sqrt(g).
    """
    basis = torch.kron(dct_matrix(rows), dct_matrix(columns))
    order = torch.sort(radial_frequency(rows, columns).flatten(), stable=True).indices
    return basis[order]


def rotation(channels: int, number: int) -> Tensor:
    """The random orthogonal matrix with this number, float64 [channels, channels].

    Q of the QR decomposition, with R's diagonal positive, of normal numbers from a seeded
    generator: uniform over the group (Mezzadri, arXiv math-ph/0609050), the same on every machine
    but for the last bits.
    """
    generator = torch.Generator().manual_seed(number)
    normal = torch.randn(channels, channels, generator=generator, dtype=torch.float64)
    q, r = torch.linalg.qr(normal)
    rotated: Tensor = q * torch.where(r.diagonal() < 0, -1.0, 1.0)
    return rotated
