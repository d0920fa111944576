"""Choosing a reader by the model's family."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freqexp.schemas.choices import Family

if TYPE_CHECKING:
    from freqexp.readers.base import Reader
    from freqexp.schemas.model import ModelConfig


def load_reader(config: ModelConfig) -> Reader:
    """The model of `config`, loaded.

    Raises UserError for weights that are missing, of another family, or do not fit their config.
    """
    match config.family:
        case Family.glm4v:
            from freqexp.readers.families.glm4v import Glm4vReader

            return Glm4vReader.load(config)
        case Family.qwen2_vl | Family.qwen2_5_vl:
            from freqexp.readers.families.qwen2_vl import Qwen2VlReader

            return Qwen2VlReader.load(config)
        case Family.qwen3_vl:
            from freqexp.readers.families.qwen3_vl import Qwen3VlReader

            return Qwen3VlReader.load(config)
        case Family.llava_onevision:
            from freqexp.readers.families.llava_onevision import LlavaOnevisionReader

            return LlavaOnevisionReader.load(config)
        case Family.glm4v_remote:
            from freqexp.readers.families.glm4v_remote import Glm4vRemoteReader

            return Glm4vRemoteReader.load(config)
        case Family.ppocr:
            from freqexp.readers.recogniser.ppocr import PpocrReader

            return PpocrReader.load(config)
        case Family.api:
            from freqexp.readers.served.api import ApiReader

            return ApiReader.load(config)
        case Family.outside:
            from freqexp.readers.outside import load_from
            from freqexp.schemas.outside_model import OutsideModelConfig

            assert isinstance(config, OutsideModelConfig)
            return load_from(config)
