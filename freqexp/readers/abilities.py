"""What a model can do with a method, as far as it is known before it is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from freqexp.schemas.choices import (
    COMPRESSES_CACHE,
    DROPS_BEFORE_ENCODER,
    PRUNES_IN_DECODER,
    SHOWS_LAYERS,
    SIGNALS,
    Family,
)
from freqexp.schemas.outside_model import OutsideModelConfig

if TYPE_CHECKING:
    from freqexp.nouns.vision import Signal
    from freqexp.schemas.model import ModelConfig


@dataclass(frozen=True)
class Abilities:
    """See `Reader`'s attributes of these names. shows_layers: methods on the cache may look into
    its layers.
    """

    signals: tuple[Signal, ...]
    drops_before_encoder: bool
    prunes_in_decoder: bool
    compresses_cache: bool
    shows_layers: bool
    reads_text: bool


def abilities(model: ModelConfig) -> Abilities:
    """By the model's family; of a reader from outside, by its class.

    Raises UserError for a reader that can't be loaded.
    """
    if isinstance(model, OutsideModelConfig):
        from freqexp.readers.outside import reader_class

        reader = reader_class(model.source)
        return Abilities(
            reader.signals,
            reader.drops_before_encoder,
            reader.prunes_in_decoder,
            reader.compresses_cache,
            reader.compresses_cache and reader.prunes_in_decoder,
            reader.reads_text,
        )
    family = model.family
    return Abilities(
        SIGNALS[family],
        family in DROPS_BEFORE_ENCODER,
        family in PRUNES_IN_DECODER,
        family in COMPRESSES_CACHE,
        family in SHOWS_LAYERS,
        family is not Family.ppocr,
    )
