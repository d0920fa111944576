"""Schemas of caches that the model's library compresses by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from freqexp.errors import fault
from freqexp.schemas.choices import Scope
from freqexp.schemas.kv import KVConfig

if TYPE_CHECKING:
    from freqexp.kv.base import KVMethod
    from freqexp.schemas.profile import ProfileConfig


@dataclass
class Fp8Config(KVConfig):
    """8-bit floating point by transformers' own quantised cache."""

    name: str = "fp8"

    @property
    def uses_keep_ratio(self) -> bool:
        return False

    @property
    def library(self) -> str | None:
        return "fp8"

    def check(self, prefix: str) -> list[str]:
        if self.scope is Scope.all:
            return []
        return [fault(f"{prefix}.scope", self.scope.name, "all (the library knows no pages)")]

    def build(self, keep_ratio: float, profile: ProfileConfig) -> KVMethod:
        from freqexp.kv.fp8 import Fp8

        return Fp8(self.question.value)
