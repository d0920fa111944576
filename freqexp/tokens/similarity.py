"""What methods that compare vision tokens share."""

from __future__ import annotations

import torch
from torch import Tensor

from freqexp.coding.grid import on_grid


def unit_rows(features: Tensor) -> Tensor:
    """Rows [N, channels] of length 1 in float64; rows of zeros stay."""
    rows = features.double()
    norm = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    units: Tensor = rows / norm.clamp_min(torch.finfo(rows.dtype).tiny)
    return units


def cosines(features: Tensor, others: Tensor | None = None) -> Tensor:
    """Cosine of every row [N, channels] with every row of `others` [M, channels] (None: itself):
    float64 [N, M] in [-1, 1], in steps of 2^-30.
    """
    rows = unit_rows(features)
    return products(rows, rows if others is None else unit_rows(others))


def products(rows: Tensor, columns: Tensor) -> Tensor:
    """`cosines` of rows [N, channels] and [M, channels] that have length 1 already."""
    return on_grid(rows @ columns.T).clamp_(-1, 1)
