"""Families with M-RoPE and pages of any size: GLM-4.1V and the Qwen-VL models.

Their image processors cut pages into patches of `patch_size` px, `merge_size` x `merge_size` of
which become one vision token; text and vision tokens have a temporal, a vertical and a horizontal
position.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from freqexp.errors import UserError
from freqexp.nouns.page import Pixels
from freqexp.nouns.vision import Chooser, CompressedTokens, Signal, VisionTokens
from freqexp.readers.families.hf import HfReader
from freqexp.readers.families.signals import block_pixels, of_attention
from freqexp.readers.families.tower import encode_part, looks, tap


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

    drops_before_encoder = True

    @property
    def page_pixels(self) -> int:
        """Most pixels a page may have."""
        return int(self.processor.size["longest_edge"])

    def encode_page(
        self, page: Pixels, signals: Sequence[Signal], chooser: Chooser | None
    ) -> list[VisionTokens]:
        """Vision tokens of one page [height, width] or [height, width, 3] uint8."""
        patches, thw = self._patches(page)
        _, rows, columns = thw[0].tolist()
        merge = self.processor.merge_size
        grid = (rows // merge, columns // merge)
        found: dict[Signal, Tensor] = {}
        if "pixels" in signals or chooser is not None:
            found["pixels"] = block_pixels(patches, self.processor)
        patches = patches.to(self.model.dtype)
        if chooser is not None:
            return [self._encode_chosen(patches, thw, grid, chooser, found["pixels"])]
        tower = self.model.model.visual
        with tap(tower) if of_attention(signals) else nullcontext() as seen:
            output = self.model.model.get_image_features(patches, thw)
        if seen is not None:
            found.update(looks(tower, seen, thw, signals))
        layers = getattr(output, "deepstack_features", None) or []
        deepstack = tuple(layer[0] for layer in layers)
        return [VisionTokens(output.pooler_output[0], grid, deepstack, found)]

    def _patches(self, page: Pixels) -> tuple[Tensor, Tensor]:
        """What the processor makes of a page: float32 [patches, values] and its grid in patches,
        int64 [1, 3].
        """
        height, width = page.shape[:2]
        side = self.processor.patch_size * self.processor.merge_size
        if height * width > self.page_pixels:
            tokens = self.page_pixels / side**2
            allowed = f"at most {self.page_pixels} px in all ({tokens:.0f} vision tokens)"
            raise UserError(f"got {width} x {height} px, allowed: {allowed}")
        color = page[..., None].repeat(3, axis=-1) if page.ndim == 2 else page
        try:
            inputs = self.processor(
                images=[color], return_tensors="pt", input_data_format="channels_last"
            ).to(self.device)
        except ValueError as error:
            raise UserError(f"got {width} x {height} px: {error}") from error
        return inputs["pixel_values"], inputs["image_grid_thw"]

    def _encode_chosen(
        self,
        patches: Tensor,
        thw: Tensor,
        grid: tuple[int, int],
        chooser: Chooser,
        pixels: Tensor,
    ) -> VisionTokens:
        """The tokens that `chooser` lets through, with their pixels."""
        kept = chooser(pixels, grid).to(patches.device)
        output = encode_part(self.model.model.visual, patches, thw, kept)
        layers = getattr(output, "deepstack_features", None) or []
        signals: dict[Signal, Tensor] = {"pixels": pixels[kept]}
        return VisionTokens(output.pooler_output, grid, tuple(layers), signals, places=kept)

    def positions(self, ids: Tensor, vision: Sequence[CompressedTokens]) -> Tensor:
        """Order in the sequence and M-RoPE positions [4, length] (text, time, height, width); of
        text alone all are the order.
        """
        order = torch.arange(len(ids), device=ids.device)
        if not vision:
            return order.repeat(4, 1)
        merge = self.processor.merge_size
        grids = [[1, rows * merge, columns * merge] for rows, columns in (p.grid for p in vision)]
        axes, _ = self.model.model.get_rope_index(
            ids[None],
            (ids == self.image_id).int()[None],
            image_grid_thw=torch.tensor(grids, device=ids.device),
        )
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
