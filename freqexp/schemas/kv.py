"""Schemas of methods that evict tokens from the KV cache."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from freqexp.errors import fault
from freqexp.schemas.choices import LayerShares, Pooling, Question, Scope
from freqexp.schemas.method import CompressorConfig, StageName

if TYPE_CHECKING:
    from freqexp.kv.base import KVMethod
    from freqexp.kv.evict import Eviction
    from freqexp.schemas.profile import ProfileConfig

BITS = (2, 4, 8)


@dataclass
class KVConfig(CompressorConfig):
    """What all methods on the KV cache share.

    question: whether the cache is compressed before the question is read, as a stored page must be,
        or after it.
    scope: which tokens may leave or be changed: all that were read, or those of pages alone.
    """

    question: Question = Question.unseen
    scope: Scope = Scope.all
    stage: ClassVar[StageName] = "kv"

    @property
    def queries(self) -> int:
        """Of how many of the last tokens the method needs the decoder's queries."""
        return 0

    @property
    def library(self) -> str | None:
        """A cache of the model's library that is to be used."""
        return None

    @property
    def layer_budgets(self) -> bool:
        """Whether layers keep different numbers of tokens."""
        return False


@dataclass
class EvictConfig(KVConfig):
    """What the methods that evict share. bits: what stays of the scope is quantised, as by `kivi`
    with its defaults; None: it stays as it is.
    """

    bits: int | None = None

    def check(self, prefix: str) -> list[str]:
        if self.bits is None or self.bits in BITS:
            return []
        allowed = f"{', '.join(map(str, BITS))}, or null"
        return [fault(f"{prefix}.bits", self.bits, allowed)]

    def eviction(self, keep_ratio: float) -> Eviction:
        """What every eviction is told."""
        from freqexp.kv.evict import Eviction

        return Eviction(keep_ratio, self.scope.value, self.question.value, self.bits)


@dataclass
class KVRandomConfig(EvictConfig):
    """Random eviction, a control. seed, seeds: as of `random_prune`."""

    name: str = "kv_random"
    seed: int = 0
    seeds: int = 3
    control: ClassVar[str] = "random eviction from the cache"

    def check(self, prefix: str) -> list[str]:
        faults = super().check(prefix)
        if self.seed < 0:
            faults.append(fault(f"{prefix}.seed", self.seed, "0 or more"))
        if not 1 <= self.seeds <= 100:
            faults.append(fault(f"{prefix}.seeds", self.seeds, "an integer from 1 to 100"))
        return faults

    def draws(self) -> list[CompressorConfig]:
        return [replace(self, seed=self.seed + number, seeds=1) for number in range(self.seeds)]

    def build(self, keep_ratio: float, profile: ProfileConfig) -> KVMethod:
        from freqexp.kv.kv_random import KVRandom

        return KVRandom(self.eviction(keep_ratio), self.seed)


@dataclass
class SinkRecentConfig(EvictConfig):
    """StreamingLLM (arXiv 2309.17453), a control: the first `sinks` tokens and the last ones."""

    name: str = "sink_recent"
    sinks: int = 4
    control: ClassVar[str] = "the cache's first and last tokens"

    def check(self, prefix: str) -> list[str]:
        faults = super().check(prefix)
        return faults + (
            [] if self.sinks >= 0 else [fault(f"{prefix}.sinks", self.sinks, "0 or more")]
        )

    def build(self, keep_ratio: float, profile: ProfileConfig) -> KVMethod:
        from freqexp.kv.sink_recent import SinkRecent

        return SinkRecent(self.eviction(keep_ratio), self.sinks)


@dataclass
class SnapKVConfig(EvictConfig):
    """SnapKV (arXiv 2404.14469): what the prompt's last tokens attend to.

    window: so many tokens look, and stay themselves. kernel: scores are pooled over so many
    neighbours, an odd number. pooling: their mean or the largest of them.
    """

    name: str = "snapkv"
    window: int = 16
    kernel: int = 5
    pooling: Pooling = Pooling.avg

    @property
    def queries(self) -> int:
        return self.window

    def check(self, prefix: str) -> list[str]:
        faults = super().check(prefix)
        if self.window < 1:
            faults.append(fault(f"{prefix}.window", self.window, "1 or more"))
        if self.kernel < 1 or self.kernel % 2 == 0:
            faults.append(fault(f"{prefix}.kernel", self.kernel, "an odd number, 1 or more"))
        return faults

    def build(self, keep_ratio: float, profile: ProfileConfig) -> KVMethod:
        from freqexp.kv.snapkv import SnapKV

        told = self.eviction(keep_ratio)
        return SnapKV(told, self.window, self.kernel, self.pooling.value)


@dataclass
class KeyDiffConfig(EvictConfig):
    """KeyDiff (arXiv 2504.15364): the tokens whose keys are least like the mean one."""

    name: str = "keydiff"

    def build(self, keep_ratio: float, profile: ProfileConfig) -> KVMethod:
        from freqexp.kv.keydiff import KeyDiff

        return KeyDiff(self.eviction(keep_ratio))


@dataclass
class DctOutlierConfig(EvictConfig):
    """FlashCache (arXiv 2511.16786): the tokens farthest from the smooth part of keys and values.

    gamma: which share of the frequencies along the tokens makes up that part. layers: whether all
    layers keep as many tokens, or those with much energy above these frequencies more.
    """

    name: str = "dct_outlier"
    gamma: float = 0.2
    layers: LayerShares = LayerShares.flat

    @property
    def layer_budgets(self) -> bool:
        return self.layers is LayerShares.energy

    def check(self, prefix: str) -> list[str]:
        faults = super().check(prefix)
        if not 0 < self.gamma < 1:
            faults.append(fault(f"{prefix}.gamma", self.gamma, "above 0, below 1"))
        return faults

    def build(self, keep_ratio: float, profile: ProfileConfig) -> KVMethod:
        from freqexp.kv.dct_outlier import DctOutlier

        return DctOutlier(self.eviction(keep_ratio), self.gamma, self.layers.value)
