"""Schemas of methods that drop vision tokens inside the decoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from freqexp.errors import fault
from freqexp.schemas.method import CompressorConfig, StageName

if TYPE_CHECKING:
    from freqexp.schemas.profile import ProfileConfig
    from freqexp.tokens.layer_base import LayerMethod


@dataclass
class InDecoderConfig(CompressorConfig):
    """What these methods share. layer: decoder layers from this one on, counted from 0, go without
    the tokens dropped.
    """

    layer: int = 2
    stage: ClassVar[StageName] = "decoder"

    def check(self, prefix: str) -> list[str]:
        if self.layer >= 1:
            return []
        allowed = "1 or more (what is dropped at layer K is chosen by what layer K - 1 made)"
        return [fault(f"{prefix}.layer", self.layer, allowed)]


@dataclass
class FastvConfig(InDecoderConfig):
    """FastV (arXiv 2403.06764): the tokens that the last prompt token attends to most stay."""

    name: str = "fastv"

    def build(self, keep_ratio: float, profile: ProfileConfig) -> LayerMethod:
        from freqexp.tokens.fastv import Fastv

        return Fastv(keep_ratio=keep_ratio, layer=self.layer)


@dataclass
class DartConfig(InDecoderConfig):
    """DART (arXiv 2502.11494): a few pivots stay, and the tokens least like them."""

    name: str = "dart"

    def build(self, keep_ratio: float, profile: ProfileConfig) -> LayerMethod:
        from freqexp.tokens.dart import Dart

        return Dart(keep_ratio=keep_ratio, layer=self.layer)
