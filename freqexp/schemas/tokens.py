"""Schemas of methods on vision tokens: the paper's, and the controls."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from freqexp.errors import fault
from freqexp.schemas.choices import Energy, Scale
from freqexp.schemas.method import CompressorConfig, StageName

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
    """Random pruning of vision tokens, a control.

    seed: another draw. seeds: a point of a sweep stands for so many runs, of `seed`, `seed` + 1 and
    so on, each of which has `seeds` 1 and is no other run than the same one asked for alone.
    """

    name: str = "random_prune"
    seed: int = 0
    seeds: int = 3
    stage: ClassVar[StageName] = "token"
    control: ClassVar[str] = "random pruning of tokens"

    def check(self, prefix: str) -> list[str]:
        faults = [] if self.seed >= 0 else [fault(f"{prefix}.seed", self.seed, "0 or more")]
        if not 1 <= self.seeds <= 100:
            faults.append(fault(f"{prefix}.seeds", self.seeds, "an integer from 1 to 100"))
        return faults

    def draws(self) -> list[CompressorConfig]:
        return [replace(self, seed=self.seed + number, seeds=1) for number in range(self.seeds)]

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
