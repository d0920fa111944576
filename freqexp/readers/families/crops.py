"""Signals of LLaVA-OneVision, whose tower sees a page in crops and attends within each.

A signal has a value for each patch of each crop and goes the way of the features from there,
through the model's own unpadding and packing, so it lands where its token does. Where that makes a
detail grid smaller, bilinearly, a token's signal is the same mean of its neighbours as its features
are; pixels are rounded again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from freqexp.nouns.vision import Signal
from freqexp.readers.families.signals import CHANNELS, Tap, received, whole_pixels


def tap(model: Any) -> Tap:
    """Of the attention that `looks` reads."""
    return Tap(_attention(model))


def _attention(model: Any) -> Any:
    """That of the last layer whose output is in the features."""
    layers = model.vision_tower.encoder.layers
    chosen = model.config.vision_feature_layer
    # Output 0 is the embeddings', output n that of layer n - 1.
    outputs = range(len(layers) + 1)
    last = max(outputs[n] for n in ([chosen] if isinstance(chosen, int) else chosen))
    return layers[last - 1].self_attn


def pixels(model: Any, processor: Any, crops: Tensor, sizes: Tensor) -> list[Tensor]:
    """uint8 [tokens, patch, patch, 3] of the base and of the detail grid.

    crops: float32 [crops, 3, height, width]. sizes: the page's [1, 2].
    """
    vision = model.config.vision_config
    patch, side = vision.patch_size, vision.image_size // vision.patch_size
    whole = whole_pixels(crops[..., : side * patch, : side * patch], processor)
    squares = whole.view(-1, CHANNELS, side, patch, side, patch).permute(0, 2, 4, 3, 5, 1)
    grids = _packed(model, squares.reshape(len(whole), side * side, -1), sizes)
    return [grid.round().to(torch.uint8).view(-1, patch, patch, CHANNELS) for grid in grids]


def looks(
    model: Any, seen: Tap, sizes: Tensor, signals: Sequence[Signal]
) -> list[dict[Signal, Tensor]]:
    """What `signals` has of attention [tokens] and keys [tokens, head channels], float32, for the
    base and for the detail grid.

    attention: of a base token within its crop; of a detail token, which its own crop's queries
        alone look at, as its share of what all tokens of the grid receive.
    """
    attention, states = _attention(model), seen.states
    shape = (*states.shape[:2], attention.num_heads, attention.head_dim)
    keys = attention.k_proj(states).view(shape)
    found: list[dict[Signal, Tensor]] = [{}, {}]
    if "attention" in signals:
        queries = attention.q_proj(states).view(shape)
        crops = zip(queries, keys, strict=True)
        shares = torch.stack([received(q, k, attention.scale) for q, k in crops])
        for signal, grid in zip(found, _packed(model, shares[..., None], sizes), strict=True):
            signal["attention"] = grid[:, 0] / grid.sum()
    if "keys" in signals:
        packed = _packed(model, keys.float().mean(2), sizes)
        for signal, grid in zip(found, packed, strict=True):
            signal["keys"] = grid
    return found


def _packed(model: Any, values: Tensor, sizes: Tensor) -> list[Tensor]:
    """Float32 [tokens, channels] of the base and of the detail grid, without newlines, from values
    [crops, patches, channels].
    """
    packed, _ = model.pack_image_features(
        [values.float()], sizes, vision_aspect_ratio=model.config.vision_aspect_ratio
    )
    base = values.shape[1]
    return [packed[0][:base], packed[0][base:]]
