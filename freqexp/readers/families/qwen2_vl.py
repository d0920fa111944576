"""Qwen2-VL and Qwen2.5-VL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freqexp.readers.families.mrope import MropeReader, limit_pixels
from freqexp.readers.weights import load_parts
from freqexp.schemas.choices import Family

if TYPE_CHECKING:
    from freqexp.schemas.model import ModelConfig


class Qwen2VlReader(MropeReader):
    """A `Qwen2VLForConditionalGeneration` or a `Qwen2_5_VLForConditionalGeneration`."""

    @classmethod
    def load(cls, config: ModelConfig) -> Qwen2VlReader:
        """Load `config.path`. Raises UserError, see `load_parts`."""
        from transformers import (
            Qwen2_5_VLForConditionalGeneration,
            Qwen2VLForConditionalGeneration,
        )
        from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import (
            Qwen2VLImageProcessorPil,
        )

        newer = config.family is Family.qwen2_5_vl
        parts = load_parts(
            config,
            ["qwen2_5_vl" if newer else "qwen2_vl"],
            Qwen2_5_VLForConditionalGeneration if newer else Qwen2VLForConditionalGeneration,
            Qwen2VLImageProcessorPil,
        )
        limit_pixels(parts.processor, config.min_pixels, config.max_pixels)
        return cls(parts, config)
