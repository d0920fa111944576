"""What compressors may ask of a vision tower beside its features, see `nouns.vision.Signal`.

Attention and keys are computed from what goes into a block, caught by a hook: what these towers
give as `attentions` is no map. Neither the hook nor the computation changes a feature.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from freqexp.errors import UserError

QUERIES = 1024
"""Rows of an attention map that are held at once."""


class Caught:
    """What went into the attention of a block. hidden: its input after the norm."""

    def __init__(self) -> None:
        self.hidden: Tensor | None = None
        self.rotation: tuple[Tensor, Tensor] | None = None


@contextmanager
def caught_input(attention: Any) -> Iterator[Caught]:
    """Watch one call of an attention module; undone afterwards."""
    found = Caught()

    def look(module: Any, args: Any, kwargs: Any) -> None:
        found.hidden = args[0] if args else kwargs["hidden_states"]
        found.rotation = kwargs.get("position_embeddings")

    hook = attention.register_forward_pre_hook(look, with_kwargs=True)
    try:
        yield found
    finally:
        hook.remove()


def joint_queries_keys(attention: Any, caught: Caught) -> tuple[Tensor, Tensor, Tensor]:
    """Rotated queries and keys, and keys before the rotation, [patches, heads, channels] each, of
    the towers with one `qkv` and rotary positions (GLM-4.1V and the Qwen-VL models).
    """
    assert caught.hidden is not None
    assert caught.rotation is not None
    length, heads = len(caught.hidden), attention.num_heads
    queries, keys, _ = attention.qkv(caught.hidden).view(length, 3, heads, -1).unbind(1)
    rotate = sys.modules[type(attention).__module__].apply_rotary_pos_emb_vision
    return (*rotate(queries, keys, *caught.rotation), keys)


def received_attention(queries: Tensor, keys: Tensor, scaling: float) -> Tensor:
    """The share of all attention that each patch receives, float32 [patches]: mean over heads and
    queries of softmax(queries keys^T scaling), both [patches, heads, channels].
    """
    columns = keys.float().permute(1, 2, 0)
    received = torch.zeros(len(keys), device=keys.device)
    for some in queries.float().split(QUERIES):
        weights = torch.softmax(some.transpose(0, 1) @ columns * scaling, dim=-1)
        received += weights.sum(dim=(0, 1))
    return received / (queries.shape[0] * queries.shape[1])


def denormalised(values: Tensor, processor: Any, channel_dim: int) -> Tensor:
    """Gray levels 0 to 255, float32, of an image processor's normalised output.

    Raises UserError when they are no whole numbers.
    """
    shape = [1] * values.dim()
    shape[channel_dim] = -1
    mean, deviation = (
        torch.tensor(numbers, device=values.device).view(shape)
        for numbers in (processor.image_mean, processor.image_std)
    )
    return whole_levels((values.float() * deviation + mean) / processor.rescale_factor)


def whole_levels(levels: Tensor) -> Tensor:
    """Gray levels rounded. Raises UserError when they are no whole numbers from 0 to 255."""
    rounded = levels.round()
    if bool(((levels - rounded).abs() > 0.05).any()) or bool(
        (rounded.clamp(0, 255) != rounded).any()
    ):
        raise UserError(
            "model.path: pixels can't be read off what the image processor makes (no whole gray "
            "levels); choose a method that does not go by pixels"
        )
    return rounded


def token_squares(patches: Tensor, merge: int) -> Tensor:
    """Pixels uint8 [tokens, height, width, 3] of patches [tokens * merge * merge, 3, side, side],
    of which merge x merge in raster order make a token.
    """
    side = patches.shape[-1]
    blocks = patches.view(-1, merge, merge, 3, side, side).permute(0, 1, 4, 2, 5, 3)
    return blocks.reshape(len(blocks), merge * side, merge * side, 3).to(torch.uint8)


def per_token(values: Tensor, patches: int) -> Tensor:
    """Means [tokens, ...] over the patches of each token of [tokens * patches, ...]."""
    return values.view(-1, patches, *values.shape[1:]).mean(dim=1)


def wants_block(signals: Sequence[str]) -> bool:
    """Whether signals need what goes into an attention block."""
    return "attention" in signals or "keys" in signals
