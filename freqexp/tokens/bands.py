"""Bands of radial frequency, told apart by integers: f = sqrt(u^2 + v^2), by u^2 + v^2."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]


def farthest(grid: tuple[int, int]) -> int:
    """u^2 + v^2 of the highest frequency of a grid."""
    return (grid[0] - 1) ** 2 + (grid[1] - 1) ** 2


def limits_of(grid: tuple[int, int], edges: Sequence[float]) -> tuple[int, ...]:
    """For each edge the least integer whose root reaches it, but at most `farthest` + 1: the bands
    are those of `transforms.band_positions`.
    """
    end = farthest(grid) + 1
    return tuple(_limit(edge, end) for edge in edges)


def _limit(edge: float, end: int) -> int:
    if edge > math.sqrt(end):
        return end
    # The square is off by a few at most: float64 tells the roots of neighbours apart.
    found = max(0, math.floor(edge * edge) - 2)
    while found < end and math.sqrt(found) < edge:
        found += 1
    return found


def rings_of(grid: tuple[int, int], limits: Sequence[int]) -> list[Integers]:
    """For each band, the ring of each of its coefficients in raster order: int64 [n], floor(f)."""
    u, v = np.arange(grid[0], dtype=np.int64), np.arange(grid[1], dtype=np.int64)
    squared = (u[:, np.newaxis] ** 2 + v**2).reshape(-1)
    band = np.searchsorted(np.array(limits, dtype=np.int64), squared, side="right")
    rings = np.floor(np.sqrt(squared)).astype(np.int64)
    return [rings[band == index] for index in range(len(limits) + 1)]
