"""Schemas of methods on vision tokens that go by the page itself: its pixels, or its grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from freqexp.errors import fault
from freqexp.schemas.choices import KeptNorm, Where
from freqexp.schemas.method import CompressorConfig, StageName

if TYPE_CHECKING:
    from freqexp.nouns.vision import Signal
    from freqexp.schemas.profile import ProfileConfig
    from freqexp.tokens.base import TokenCompressor


@dataclass
class PixelPruneConfig(CompressorConfig):
    """Tokens that a neighbour's pixels predict are dropped (arXiv 2604.00886).

    threshold: gray levels, 0 to 255, by which a prediction may be off. where: tokens leave before
    the decoder or before the vision encoder.
    """

    name: str = "pixel_prune"
    threshold: int = 0
    where: Where = Where.decoder
    stage: ClassVar[StageName] = "token"

    @property
    def adaptive(self) -> bool:
        return True

    @property
    def signals(self) -> tuple[Signal, ...]:
        return ("pixels",)

    @property
    def before_encoder(self) -> bool:
        return self.where is Where.encoder

    def check(self, prefix: str) -> list[str]:
        if 0 <= self.threshold <= 255:
            return []
        return [fault(f"{prefix}.threshold", self.threshold, "gray levels from 0 to 255")]

    def build(self, keep_ratio: float, profile: ProfileConfig) -> TokenCompressor:
        from freqexp.tokens.pixel_prune import PixelPrune

        return PixelPrune(self.threshold, self.before_encoder)


@dataclass
class BlankPruneConfig(CompressorConfig):
    """Blank tokens are dropped. line_ends: but one at the end of each row."""

    name: str = "blank_prune"
    line_ends: bool = True
    stage: ClassVar[StageName] = "token"

    @property
    def adaptive(self) -> bool:
        return True

    @property
    def signals(self) -> tuple[Signal, ...]:
        return ("pixels",)

    def build(self, keep_ratio: float, profile: ProfileConfig) -> TokenCompressor:
        from freqexp.tokens.blank_prune import BlankPrune

        return BlankPrune(self.line_ends)


@dataclass
class NormPruneConfig(CompressorConfig):
    """Pruning of vision tokens by their norm. keep: the largest or the smallest."""

    name: str = "norm_prune"
    keep: KeptNorm = KeptNorm.largest
    stage: ClassVar[StageName] = "token"

    def build(self, keep_ratio: float, profile: ProfileConfig) -> TokenCompressor:
        from freqexp.tokens.norm_prune import NormPrune

        return NormPrune(keep_ratio, self.keep.value)


@dataclass
class DctResampleConfig(CompressorConfig):
    """Low frequencies of the grid on a smaller one (arXiv 2508.06038).

    correct: keep the amplitude; false: the published form.
    """

    name: str = "dct_resample"
    correct: bool = True
    stage: ClassVar[StageName] = "token"

    def build(self, keep_ratio: float, profile: ProfileConfig) -> TokenCompressor:
        from freqexp.tokens.dct_resample import DctResample

        return DctResample(keep_ratio, self.correct)


@dataclass
class BlockMeanConfig(CompressorConfig):
    """Means over blocks of the grid, a control."""

    name: str = "block_mean"
    stage: ClassVar[StageName] = "token"
    control: ClassVar[str] = "block means of tokens"

    def build(self, keep_ratio: float, profile: ProfileConfig) -> TokenCompressor:
        from freqexp.tokens.block_mean import BlockMean

        return BlockMean(keep_ratio)
