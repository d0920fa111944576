"""The vision towers of the M-RoPE families: signals of one page, and a run over a part of it.

Their patches come in blocks, the `merge_size`^2 patches of one token behind one another. The towers
of transformers take what they would derive from a page's grid as arguments instead (positions,
borders of sequences, windows, interpolation): a run over some blocks is the tower's own forward
with their share of these, so every patch that stays is embedded, placed and rotated as in the whole
page and attends to the others that stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.vision_utils import (
    get_vision_interpolation_indices_and_weights,
    get_vision_position_ids,
    get_vision_window_index,
)

from freqexp.errors import UserError
from freqexp.nouns.vision import Signal
from freqexp.readers.families.signals import Tap, received, rotated


def global_block(tower: Any) -> int:
    """The last block whose attention spans the page: Qwen2.5-VL's others are windowed.

    Raises UserError where there is none.
    """
    depth = len(tower.blocks)
    spanning = getattr(tower, "fullatt_block_indexes", range(depth))
    blocks = [block for block in spanning if 0 <= block < depth]
    if not blocks:
        raise UserError(
            "model.path: no block of its vision tower attends to the whole page "
            "(fullatt_block_indexes); choose a compressor that needs no attention and no keys"
        )
    return max(blocks)


def tap(tower: Any) -> Tap:
    """Of the attention that `looks` reads."""
    return Tap(tower.blocks[global_block(tower)].attn)


def looks(tower: Any, seen: Tap, grid: Tensor, signals: Sequence[Signal]) -> dict[Signal, Tensor]:
    """What `signals` has of attention [tokens] and keys [tokens, head channels], float32, in raster
    order; `grid` int64 [1, 3] is one page's in patches.
    """
    attention = tower.blocks[global_block(tower)].attn
    unit = tower.spatial_merge_size**2
    states = seen.states
    queries, keys = (
        attention.qkv(states).view(len(states), 3, attention.num_heads, -1).unbind(1)[:2]
    )
    found: dict[Signal, Tensor] = {}
    if "attention" in signals:
        shares = received(
            rotated(queries, seen.rotation), rotated(keys, seen.rotation), attention.scaling
        )
        found["attention"] = shares.view(-1, unit).sum(1)
    if "keys" in signals:
        found["keys"] = keys.float().mean(1).view(-1, unit, keys.shape[-1]).mean(1)
    if windowed(tower):
        raster = windows(tower, grid)[0].argsort()
        found = {name: values[raster] for name, values in found.items()}
    return found


def windowed(tower: Any) -> bool:
    """Whether its blocks see tokens in the order of windows."""
    return hasattr(tower, "fullatt_block_indexes")


def windows(tower: Any, grid: Tensor) -> tuple[Tensor, Tensor]:
    """Raster places [tokens] in the order of their windows, and the windows' borders in patches
    [windows + 1].
    """
    order, borders = get_vision_window_index(
        grid, tower.spatial_merge_size, tower.window_size, tower.patch_size
    )
    return order.to(grid.device), borders


def encode_part(tower: Any, patches: Tensor, grid: Tensor, kept: Tensor) -> Any:
    """The tower's output for the tokens `kept`, int64 [kept] in raster order, of one page alone.

    patches: [tokens * merge^2, values] of the whole page.
    grid: int64 [1, 3], the page's in patches.
    """
    unit = tower.spatial_merge_size**2
    inside = (kept[:, None] * unit + torch.arange(unit, device=kept.device)).flatten()
    positions = get_vision_position_ids(grid, tower.spatial_merge_size)
    given: dict[str, Tensor] = {
        "position_ids": positions[inside],
        "cu_seqlens": torch.tensor([0, len(inside)], dtype=torch.int32, device=grid.device),
    }
    if windowed(tower):
        given["window_index"], given["cu_window_seqlens"] = _kept_windows(tower, grid, kept)
    if hasattr(tower, "pos_embed"):
        indices, weights = get_vision_interpolation_indices_and_weights(
            grid,
            num_grid_per_side=tower.num_grid_per_side,
            mode=tower.interpolation_mode,
            align_corners=tower.interpolation_align_corners,
            spatial_merge_size=tower.spatial_merge_size,
        )
        given["interp_indices"], given["interp_weights"] = indices[inside], weights[inside]
    return tower(patches[inside], grid_thw=grid, return_dict=True, **given)


def _kept_windows(tower: Any, grid: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
    """What `windows` says, of the kept tokens alone and in their numbers: windows become ragged,
    and empty ones go.
    """
    order, borders = windows(tower, grid)
    unit = tower.spatial_merge_size**2
    number = torch.full_like(order, -1)
    number[kept] = torch.arange(len(kept), device=order.device)
    stays = number[order] >= 0
    # How many of the kept tokens lie before each border.
    before = torch.cat([stays.new_zeros(1), stays]).cumsum(0)[borders.long() // unit]
    return number[order][stays], (before * unit).unique_consecutive().to(borders.dtype)
