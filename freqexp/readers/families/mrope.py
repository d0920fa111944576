"""Families with M-RoPE and pages of any size: GLM-4.1V and the Qwen-VL models.

Their image processors cut pages into patches of `patch_size` px, `merge_size` x `merge_size` of
which become one vision token; text and vision tokens have a temporal, a vertical and a horizontal
position.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers.vision_utils import get_vision_window_index

from freqexp.errors import UserError
from freqexp.nouns.page import Pixels
from freqexp.nouns.vision import Chooser, CompressedTokens, Signal, VisionTokens
from freqexp.readers.families.hf import HfReader
from freqexp.readers.families.signals import (
    Caught,
    caught_input,
    denormalised,
    joint_queries_keys,
    per_token,
    received_attention,
    token_squares,
    wants_block,
)
from freqexp.readers.families.tower import encode_kept


class EncoderOutput:
    """What `generate` wants of an image encoder: features of each image, and of each deep-stack
    layer those of each image.
    """

    def __init__(self, vision: Sequence[CompressedTokens]) -> None:
        self.pooler_output = tuple(page.features for page in vision)
        layers = zip(*(page.deepstack for page in vision), strict=True)
        self.deepstack_features = [tuple(layer) for layer in layers]


class MropeReader(HfReader):
    """Encoding and positions of a model with `get_image_features` and `get_rope_index`."""

    @property
    def page_pixels(self) -> int:
        """Most pixels a page may have."""
        return int(self.processor.size["longest_edge"])

    drops_before_encoder = True

    def encode_page(
        self, page: Pixels, signals: Sequence[Signal], chooser: Chooser | None
    ) -> list[VisionTokens]:
        """Vision tokens of one page [height, width] or [height, width, 3] uint8."""
        height, width = page.shape[:2]
        side = self.processor.patch_size * self.processor.merge_size
        if height * width > self.page_pixels:
            tokens = self.page_pixels / side**2
            allowed = f"at most {self.page_pixels} px in all ({tokens:.0f} vision tokens)"
            raise UserError(f"got {width} x {height} px, allowed: {allowed}")
        color = page[..., None].repeat(3, axis=-1) if page.ndim == 2 else page
        try:
            inputs = self.processor(images=[color], return_tensors="pt").to(self.device)
        except ValueError as error:
            raise UserError(f"got {width} x {height} px: {error}") from error
        values, shape = inputs["pixel_values"], inputs["image_grid_thw"]
        _, rows, columns = shape[0].tolist()
        merge = self.processor.merge_size
        grid = (rows // merge, columns // merge)
        patches = values.to(self.model.dtype)
        if chooser is not None:
            return [self._encode_kept(patches, shape, grid, chooser(self._squares(values), grid))]
        found: dict[Signal, Tensor] = {}
        if "pixels" in signals:
            found["pixels"] = self._squares(values)
        with self._watched_block(signals) as caught:
            output = self.model.model.get_image_features(patches, shape)
        if wants_block(signals):
            found |= self._block_signals(caught, shape, signals)
        layers = getattr(output, "deepstack_features", None) or []
        deepstack = tuple(layer[0] for layer in layers)
        return [VisionTokens(output.pooler_output[0], grid, deepstack, found)]

    def _encode_kept(
        self, patches: Tensor, shape: Tensor, grid: tuple[int, int], kept: Tensor
    ) -> VisionTokens:
        output = encode_kept(self._tower, patches, shape, kept)
        deepstack = tuple(getattr(output, "deepstack_features", None) or [])
        return VisionTokens(output.pooler_output, grid, deepstack, places=kept)

    @property
    def _tower(self) -> Any:
        return self.model.model.visual

    def _squares(self, values: Tensor) -> Tensor:
        """Pixels [tokens, height, width, 3] of the processor's patches [patches, values]."""
        frames, side = self.processor.temporal_patch_size, self.processor.patch_size
        # Every frame of a page is the same.
        patches = values.view(len(values), 3, frames, side, side)[:, :, 0]
        levels = denormalised(patches, self.processor, channel_dim=1)
        return token_squares(levels, self.processor.merge_size)

    def _whole_page_block(self) -> Any:
        """Attention of the last block in which every patch sees the whole page."""
        whole = getattr(self._tower, "fullatt_block_indexes", None)
        return self._tower.blocks[-1 if whole is None else max(whole)].attn

    @contextmanager
    def _watched_block(self, signals: Sequence[Signal]) -> Iterator[Caught]:
        if not wants_block(signals):
            yield Caught()
            return
        with caught_input(self._whole_page_block()) as caught:
            yield caught

    def _block_signals(
        self, caught: Caught, shape: Tensor, signals: Sequence[Signal]
    ) -> dict[Signal, Tensor]:
        """Attention and keys of each token, in raster order."""
        attention, unit = self._whole_page_block(), self.processor.merge_size**2
        queries, keys, plain = joint_queries_keys(attention, caught)
        found: dict[Signal, Tensor] = {}
        if "attention" in signals:
            received = received_attention(queries, keys, attention.scaling)
            found["attention"] = per_token(received, unit) * unit
        if "keys" in signals:
            found["keys"] = per_token(plain.float().mean(dim=1), unit)
        if not hasattr(self._tower, "fullatt_block_indexes"):
            return found
        # Blocks see tokens window by window.
        tower = self._tower
        index, _ = get_vision_window_index(
            shape, tower.spatial_merge_size, tower.window_size, tower.patch_size
        )
        back = torch.argsort(index.to(shape.device))
        return {name: values[back] for name, values in found.items()}

    def positions(self, ids: Tensor, vision: Sequence[CompressedTokens]) -> Tensor:
        """Order in the sequence and M-RoPE positions [4, length] (text, time, height, width)."""
        merge = self.processor.merge_size
        grids = [[1, rows * merge, columns * merge] for rows, columns in (p.grid for p in vision)]
        axes, _ = self.model.model.get_rope_index(
            ids[None],
            (ids == self.image_id).int()[None],
            image_grid_thw=torch.tensor(grids, device=ids.device),
        )
        order = torch.arange(len(ids), device=ids.device)
        return torch.cat([order[None], axes[:, 0]])

    def encoder_output(self, vision: Sequence[CompressedTokens]) -> Any:
        """The kept features of these pages."""
        return EncoderOutput(vision)


def limit_pixels(processor: Any, low: int | None, high: int | None, frames: int = 1) -> None:
    """Set the processor's smallest and largest page in pixels; None leaves its own.

    frames: by how much the processor counts each pixel.
    """
    size = dict(processor.size)
    if low is not None:
        size["shortest_edge"] = low * frames
    if high is not None:
        size["longest_edge"] = high * frames
    processor.size = type(processor.size)(**size)
