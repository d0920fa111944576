"""Schemas of the group `compressor`: one class a method, listed in COMPRESSORS."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

from freqexp.errors import fault
from freqexp.schemas import ranges
from freqexp.schemas.choices import Energy, Fit, Scale, Threshold
from freqexp.schemas.section import Section

if TYPE_CHECKING:
    from freqexp.codecs.base import Codec
    from freqexp.config import ProfileConfig
    from freqexp.tokens.base import TokenCompressor

# Where a method acts: nowhere, on page images before the vision encoder, on vision tokens after it,
# or at several of these places at once.
StageName = Literal["none", "codec", "token", "combined"]


class Part(NamedTuple):
    """A method that acts in a run, and the share it keeps, in (0, 1]."""

    config: CompressorConfig
    keep_ratio: float


@dataclass
class CompressorConfig(Section):
    """A compression method. `uses_*` say which shared settings reach the result."""

    name: str
    stage: ClassVar[StageName] = "none"

    @property
    def uses_keep_ratio(self) -> bool:
        """Whether `keep_ratio` can change what this compressor does."""
        return self.stage != "none"

    @property
    def uses_profile(self) -> bool:
        """Whether `profile` can change what this compressor does."""
        return False

    @property
    def title(self) -> str:
        """What people see: the name, or the names of the parts."""
        return self.name

    def parts(self, keep_ratio: float) -> tuple[Part, ...]:
        """The methods that act, in the order in which a sample meets them; none for the baseline.

        keep_ratio: the run's, for every part without one of its own.
        """
        return () if self.stage == "none" else (Part(self, keep_ratio),)

    def build(self, keep_ratio: float, profile: ProfileConfig) -> Codec | TokenCompressor | None:
        """The compressor of these settings; None where nothing is compressed.

        For a method alone: a combination is built part by part (`parts`).
        """
        raise TypeError(f"{type(self).__name__} builds nothing by itself")


@dataclass
class NoneConfig(CompressorConfig):
    """No compression: the baseline, on the same path as every method."""

    name: str = "none"

    def build(self, keep_ratio: float, profile: ProfileConfig) -> None:
        """Nothing to build."""


@dataclass
class BlockDctConfig(CompressorConfig):
    """Thresholded block DCT of the page (paper, Algorithm 1). block: side in pixels."""

    name: str = "block_dct"
    block: int = 14
    threshold: Threshold = Threshold.image
    fit: Fit = Fit.pad
    stage: ClassVar[StageName] = "codec"

    def check(self, prefix: str) -> list[str]:
        return ranges.integers(self, prefix, ("block",), 1, 256)

    def build(self, keep_ratio: float, profile: ProfileConfig) -> Codec:
        from freqexp.codecs.block_dct import BlockDct

        return BlockDct(
            block=self.block,
            keep_ratio=keep_ratio,
            threshold=self.threshold.value,
            fit=self.fit.value,
        )


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
    allowed = [option for option in COMPRESSORS if option.stage in ("none", place)]
    return sorted(str(item.default) for o in allowed for item in fields(o) if item.name == "name")


COMPRESSORS: tuple[type[CompressorConfig], ...] = (
    NoneConfig,
    BlockDctConfig,
    TokenConfig,
    CombinedConfig,
)
