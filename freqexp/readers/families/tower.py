"""Vision towers of GLM-4.1V and the Qwen-VL models on some of a page's tokens.

A token is a block of `merge` x `merge` patches, which the tower merges at its end, so what is
dropped is whole blocks: before the patch embedding, where a patch still costs nothing. The others
keep the positions they have on the page, rotary and learned, and attend to each other alone.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def encode_kept(tower: Any, patches: Tensor, grid_thw: Tensor, kept: Tensor) -> Any:
    """What a tower makes of the tokens at raster positions `kept` int64 [K] of one page.

    patches: [tokens * merge * merge, values] as the image processor gives them. grid_thw: int64
    [1, 3]. The output is the tower's own, with K merged tokens.
    """
    from transformers import vision_utils

    merge, device = int(tower.spatial_merge_size), patches.device
    unit = merge * merge
    rows = (kept[:, None] * unit + torch.arange(unit, device=kept.device)).view(-1)
    given: dict[str, Any] = {
        "position_ids": vision_utils.get_vision_position_ids(grid_thw, merge)[rows],
        "cu_seqlens": torch.tensor([0, len(rows)], dtype=torch.int32, device=device),
    }
    if hasattr(tower, "fullatt_block_indexes"):
        index, edges = vision_utils.get_vision_window_index(
            grid_thw, merge, tower.window_size, tower.patch_size
        )
        given["window_index"], given["cu_window_seqlens"] = kept_windows(
            index.to(device), edges.to(device), kept, unit
        )
    if hasattr(tower, "num_grid_per_side"):
        indices, weights = vision_utils.get_vision_interpolation_indices_and_weights(
            grid_thw,
            num_grid_per_side=tower.num_grid_per_side,
            mode=tower.interpolation_mode,
            align_corners=tower.interpolation_align_corners,
            spatial_merge_size=merge,
        )
        given["interp_indices"], given["interp_weights"] = indices[rows], weights[rows]
    return tower(patches[rows], grid_thw=grid_thw, return_dict=True, **given)


def kept_windows(index: Tensor, edges: Tensor, kept: Tensor, unit: int) -> tuple[Tensor, Tensor]:
    """Windows without the tokens that were dropped; a window that lost all of them is gone.

    index: int64 [tokens], raster positions in the order of windows. edges: int32 [windows + 1],
    where windows begin and end, in patches. The same of the kept tokens, numbered anew.
    """
    number = torch.full_like(index, -1)
    number[kept] = torch.arange(len(kept), device=kept.device)
    places = number[index]
    stays = places >= 0
    before = torch.nn.functional.pad(stays.cumsum(0), (1, 0))
    shorter = (before[(edges // unit).long()] * unit).to(edges.dtype)
    return places[stays], torch.unique_consecutive(shorter)
