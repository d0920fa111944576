"""Qwen3-VL, whose deep-stack features (arXiv 2406.04334) enter the first decoder layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freqexp.readers.families.mrope import MropeReader, limit_pixels
from freqexp.readers.weights import load_parts

if TYPE_CHECKING:
    from freqexp.schemas.model import ModelConfig


class Qwen3VlReader(MropeReader):
    """A `Qwen3VLForConditionalGeneration`. A dropped token's deep-stack features go with it."""

    @classmethod
    def load(cls, config: ModelConfig) -> Qwen3VlReader:
        """Load `config.path`. Raises UserError, see `load_parts`."""
        from transformers import Qwen3VLForConditionalGeneration
        from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import (
            Qwen2VLImageProcessorPil,
        )

        parts = load_parts(
            config, ["qwen3_vl"], Qwen3VLForConditionalGeneration, Qwen2VLImageProcessorPil
        )
        limit_pixels(parts.processor, config.min_pixels, config.max_pixels)
        return cls(parts, config)

    @property
    def deepstack_layers(self) -> int:
        """Decoder layers that take vision features of their own."""
        return len(self.model.config.vision_config.deepstack_visual_indexes)
