"""Which tokens leave and which pairs are merged where only as many go as have to."""

from __future__ import annotations

import torch
from torch import Tensor


def needed(
    features: Tensor, blank: Tensor, pairs: Tensor, grid: tuple[int, int], count: int
) -> tuple[Tensor, Tensor]:
    """Places of the `count` tokens that are left, int64 [count] in raster order, and the place of
    the token that is merged into each, int64 [count], -1 without one.

    Blank tokens leave first, those farthest behind what is shown in their row before others, so
    that a row's end stays longest. When none is left, pairs are merged, those first whose members
    differ least: the energy of the higher coefficient of their DCT, |x_1 - x_2|^2 / 2. Where all
    are merged, tokens leave, the last ones first: those in no pair (at the edge of a grid of odd
    size, or beside a blank one), then merged ones. Ties go by raster position.

    features: [N, channels]. blank: bool [N]. pairs: int64 [P, 2], no place in two of them; one with
    the same place twice is none.
    """
    device = features.device
    stays = torch.ones(len(features), dtype=torch.bool, device=device)
    partner = torch.full((len(features),), -1, device=device)
    order = torch.sort(_behind(~blank, grid), descending=True, stable=True).indices
    stays[order[blank[order]][: len(features) - count]] = False
    first, second = pairs[(pairs[:, 0] != pairs[:, 1]) & stays[pairs].all(dim=1)].unbind(dim=1)
    exact = features.detach().double()
    detail = (exact[first] - exact[second]).square().sum(dim=1)
    merged = torch.sort(detail, stable=True).indices[: int(stays.sum()) - count]
    partner[first[merged]] = second[merged]
    stays[second[merged]] = False
    rest = stays.nonzero()[:, 0].flip(0)
    rest = torch.cat([rest[partner[rest] < 0], rest[partner[rest] >= 0]])
    stays[rest[: len(rest) - count]] = False
    kept = stays.nonzero()[:, 0]
    return kept, partner[kept]


def _behind(shown: Tensor, grid: tuple[int, int]) -> Tensor:
    """How far each token is behind the last one shown in its row, int64 [N]; 0: shown."""
    column = torch.arange(grid[1], device=shown.device).expand(grid)
    last = torch.where(shown.view(grid), column, -1).cummax(dim=1).values
    return (column - last).reshape(-1)
