"""GLM-4.1V, Glyph and the bundled tiny reader: what transformers knows as `Glm4v*`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from torch import Tensor

from freqexp.readers.families.mrope import MropeReader, limit_pixels
from freqexp.readers.weights import load_parts

if TYPE_CHECKING:
    from freqexp.schemas.model import ModelConfig

# GLM-4.1V-Thinking writes <think>...</think><answer>...</answer>.
_ANSWER_TAGS = re.compile(r"\s*<answer>\s*(.*?)\s*(</answer>\s*)?", re.DOTALL)


class Glm4vReader(MropeReader):
    """A `Glm4vForConditionalGeneration`."""

    @classmethod
    def load(cls, config: ModelConfig) -> Glm4vReader:
        """Load `config.path` (None: the bundled reader). Raises UserError, see `load_parts`."""
        from transformers import Glm4vForConditionalGeneration
        from transformers.models.glm4v.image_processing_pil_glm4v import Glm4vImageProcessorPil

        parts = load_parts(config, ["glm4v"], Glm4vForConditionalGeneration, Glm4vImageProcessorPil)
        frames = parts.processor.temporal_patch_size
        limit_pixels(parts.processor, config.min_pixels, config.max_pixels, frames)
        return cls(parts, config)

    @property
    def page_pixels(self) -> int:
        """Most pixels a page may have; the processor counts a page once for each frame."""
        return super().page_pixels // int(self.processor.temporal_patch_size)

    def final_answer(self, ids: Tensor) -> str:
        """Also without the answer tags of the thinking models."""
        text = super().final_answer(ids)
        if self.answer_after is None:
            return text
        tagged = _ANSWER_TAGS.fullmatch(text)
        return text if tagged is None else tagged[1]
