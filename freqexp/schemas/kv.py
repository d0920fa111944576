"""Schemas of methods that evict tokens from the KV cache."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from freqexp.errors import fault
from freqexp.schemas.choices import Question, Scope
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


KV_METHODS: tuple[type[CompressorConfig], ...] = (KVRandomConfig,)
