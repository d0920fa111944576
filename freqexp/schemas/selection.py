"""Schemas of methods that select or merge vision tokens by comparing them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from freqexp.errors import fault
from freqexp.schemas.choices import Metric
from freqexp.schemas.method import CompressorConfig, StageName

if TYPE_CHECKING:
    from freqexp.nouns.vision import Signal
    from freqexp.schemas.profile import ProfileConfig
    from freqexp.tokens.base import TokenCompressor


@dataclass
class DivpruneConfig(CompressorConfig):
    """Tokens that differ most from each other (arXiv 2503.02175)."""

    name: str = "divprune"
    stage: ClassVar[StageName] = "token"

    def build(self, keep_ratio: float, profile: ProfileConfig) -> TokenCompressor:
        from freqexp.tokens.divprune import DivPrune

        return DivPrune(keep_ratio)


@dataclass
class ScopeConfig(CompressorConfig):
    """Tokens by saliency times coverage (SCOPE). alpha: weight of saliency; 0: coverage alone."""

    name: str = "scope"
    alpha: float = 1.0
    stage: ClassVar[StageName] = "token"

    @property
    def signals(self) -> tuple[Signal, ...]:
        return ("attention",) if self.alpha else ()

    def check(self, prefix: str) -> list[str]:
        if 0 <= self.alpha < float("inf"):
            return []
        return [fault(f"{prefix}.alpha", self.alpha, "0 or more")]

    def build(self, keep_ratio: float, profile: ProfileConfig) -> TokenCompressor:
        from freqexp.tokens.scope import Scope

        return Scope(keep_ratio, self.alpha)


@dataclass
class VisprunerConfig(CompressorConfig):
    """Tokens by attention, and diverse ones among the rest (arXiv 2412.01818).

    important: share of the kept ones that attention chooses.
    """

    name: str = "vispruner"
    important: float = 0.5
    stage: ClassVar[StageName] = "token"

    @property
    def signals(self) -> tuple[Signal, ...]:
        return ("attention",)

    def check(self, prefix: str) -> list[str]:
        if 0 <= self.important <= 1:
            return []
        return [fault(f"{prefix}.important", self.important, "0 to 1")]

    def build(self, keep_ratio: float, profile: ProfileConfig) -> TokenCompressor:
        from freqexp.tokens.vispruner import VisPruner

        return VisPruner(keep_ratio, self.important)


@dataclass
class TomeConfig(CompressorConfig):
    """Merging of similar tokens (arXiv 2210.09461).

    metric: what is compared. steps: in how many at most half go each; None: as few as possible.
    """

    name: str = "tome"
    metric: Metric = Metric.keys
    steps: int | None = None
    stage: ClassVar[StageName] = "token"

    @property
    def signals(self) -> tuple[Signal, ...]:
        return ("keys",) if self.metric is Metric.keys else ()

    def check(self, prefix: str) -> list[str]:
        if self.steps is None or self.steps >= 1:
            return []
        return [fault(f"{prefix}.steps", self.steps, "1 or more, or null")]

    def check_keep_ratio(self, keep_ratio: float) -> list[str]:
        least = 0.5 ** (self.steps or 0)
        if self.steps is None or self.steps < 1 or keep_ratio >= least:
            return []
        allowed = f"{least:g} or more with steps={self.steps} (at most half go in one)"
        return [fault("keep_ratio", keep_ratio, allowed)]

    def build(self, keep_ratio: float, profile: ProfileConfig) -> TokenCompressor:
        from freqexp.tokens.tome import ToMe

        return ToMe(keep_ratio, self.metric.value, self.steps)


@dataclass
class CdpruneConfig(CompressorConfig):
    """Diverse tokens that concern the question (arXiv 2506.10967)."""

    name: str = "cdprune"
    stage: ClassVar[StageName] = "token"

    @property
    def signals(self) -> tuple[Signal, ...]:
        return ("question",)

    def build(self, keep_ratio: float, profile: ProfileConfig) -> TokenCompressor:
        from freqexp.tokens.cdprune import CdPrune

        return CdPrune(keep_ratio)
