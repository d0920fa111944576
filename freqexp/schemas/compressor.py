"""Schemas of the group `compressor`: one class a method, listed in COMPRESSORS."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from freqexp.errors import fault
from freqexp.schemas.choices import Energy, Scale
from freqexp.schemas.codecs import (
    AvifConfig,
    BlockDctConfig,
    BlockVqConfig,
    DownsampleConfig,
    JpegConfig,
    JxlConfig,
    JxlLosslessConfig,
    PngConfig,
    PosterizeConfig,
    WebpConfig,
    WebpLosslessConfig,
)
from freqexp.schemas.method import CompressorConfig, NoneConfig, Part, StageName
from freqexp.schemas.section import option_name

if TYPE_CHECKING:
    from freqexp.schemas.profile import ProfileConfig
    from freqexp.tokens.base import TokenCompressor


@dataclass
class TokenConfig(CompressorConfig):
    """DCT, band quantisation and energy pruning of vision tokens (paper, Algorithm 2).

    The parts switch separately: `transform` and `quantize` without `prune`, or `prune` alone.
    """

    name: str = "token"
    transform: bool = True
    quantize: bool = True
    prune: bool = True
    energy: Energy = Energy.l2
    scale: Scale = Scale.channel
    stage: ClassVar[StageName] = "token"

    @property
    def uses_keep_ratio(self) -> bool:
        return self.prune

    @property
    def uses_profile(self) -> bool:
        return self.quantize

    def check(self, prefix: str) -> list[str]:
        if self.quantize and not self.transform:
            allowed = (
                f"false while {prefix}.transform is false (the bands are those of the transform)"
            )
            return [fault(f"{prefix}.quantize", True, allowed)]
        return []

    def build(self, keep_ratio: float, profile: ProfileConfig) -> TokenCompressor:
        from freqexp.tokens.dct import TokenDct

        return TokenDct(
            keep_ratio=keep_ratio,
            bits=(profile.bits_low, profile.bits_mid, profile.bits_high),
            edges=(profile.edge_low, profile.edge_mid),
            transform=self.transform,
            quantize=self.quantize,
            prune=self.prune,
            energy=self.energy.value,
            scale=self.scale.value,
        )


@dataclass
class RandomPruneConfig(CompressorConfig):
    """Random pruning of vision tokens, a control. seed: another draw."""

    name: str = "random_prune"
    seed: int = 0
    stage: ClassVar[StageName] = "token"
    control: ClassVar[str] = "random pruning of tokens"

    def check(self, prefix: str) -> list[str]:
        return [] if self.seed >= 0 else [fault(f"{prefix}.seed", self.seed, "0 or more")]

    def build(self, keep_ratio: float, profile: ProfileConfig) -> TokenCompressor:
        from freqexp.tokens.random_prune import RandomPrune

        return RandomPrune(keep_ratio=keep_ratio, seed=self.seed)


@dataclass
class PoolConfig(CompressorConfig):
    """Average pooling of vision tokens, a control."""

    name: str = "pool"
    stage: ClassVar[StageName] = "token"
    control: ClassVar[str] = "average pooling of tokens"

    def build(self, keep_ratio: float, profile: ProfileConfig) -> TokenCompressor:
        from freqexp.tokens.pool import Pool

        return Pool(keep_ratio=keep_ratio)


@dataclass
class CombinedConfig(CompressorConfig):
    """Several methods in one run, each at its own stage; `none` leaves a stage alone.

    codec_keep_ratio, token_keep_ratio: the share that part keeps; None: the run's keep_ratio.
    """

    name: str = "combined"
    codec: CompressorConfig = field(default_factory=BlockDctConfig)
    token: CompressorConfig = field(default_factory=TokenConfig)
    codec_keep_ratio: float | None = None
    token_keep_ratio: float | None = None
    stage: ClassVar[StageName] = "combined"
    places: ClassVar[tuple[StageName, ...]] = ("codec", "token")

    def _placed(self) -> list[tuple[StageName, CompressorConfig, float | None]]:
        """Each place in order: its name, its method (maybe `none`) and its own keep ratio."""
        return [
            (place, getattr(self, place), getattr(self, f"{place}_keep_ratio"))
            for place in self.places
        ]

    @property
    def title(self) -> str:
        return "+".join(part.config.name for part in self.parts(1.0)) or "none"

    @property
    def uses_keep_ratio(self) -> bool:
        return any(config.uses_keep_ratio and own is None for _, config, own in self._placed())

    @property
    def uses_profile(self) -> bool:
        return any(config.uses_profile for _, config, _ in self._placed())

    def parts(self, keep_ratio: float) -> tuple[Part, ...]:
        return tuple(
            Part(config, keep_ratio if own is None else own)
            for _, config, own in self._placed()
            if config.stage != "none"
        )

    def check(self, prefix: str) -> list[str]:
        faults = []
        for place, config, own in self._placed():
            if config.stage not in ("none", place):
                allowed = ", ".join(names_at(place))
                faults.append(fault(f"{prefix}.{place}", config.name, allowed))
                continue
            faults += config.check(f"{prefix}.{place}")
            if own is None or config.stage == "none":
                continue
            name = f"{prefix}.{place}_keep_ratio"
            if not config.uses_keep_ratio:
                faults.append(fault(name, own, f"null ({config.name} has no use for it)"))
            elif not 0 < own <= 1:
                faults.append(fault(name, own, "a number above 0 and at most 1, or null"))
        return faults


def names_at(place: str) -> list[str]:
    """Names of the methods that may stand at a place of a combination."""
    return sorted(option_name(option) for option in COMPRESSORS if option.stage in ("none", place))


def controls() -> dict[str, str]:
    """What any method must beat: the option's name, and what it is in words."""
    return {option_name(option): option.control for option in COMPRESSORS if option.control}


COMPRESSORS: tuple[type[CompressorConfig], ...] = (
    NoneConfig,
    BlockDctConfig,
    BlockVqConfig,
    PngConfig,
    WebpLosslessConfig,
    JxlLosslessConfig,
    JpegConfig,
    WebpConfig,
    AvifConfig,
    JxlConfig,
    PosterizeConfig,
    DownsampleConfig,
    TokenConfig,
    RandomPruneConfig,
    PoolConfig,
    CombinedConfig,
)
