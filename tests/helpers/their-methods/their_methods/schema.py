"""Their settings. Nothing heavy is imported before `build`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from freqexp.errors import fault
from freqexp.schemas.codecs import CodecConfig
from freqexp.schemas.kv import EvictConfig
from freqexp.schemas.method import CompressorConfig, StageName

if TYPE_CHECKING:
    from freqexp.codecs.base import Codec
    from freqexp.kv.base import KVMethod
    from freqexp.schemas.profile import ProfileConfig
    from freqexp.tokens.base import TokenCompressor


@dataclass
class FewBitsConfig(CodecConfig):
    """The high bits of each sample, deflated. level: of zlib, 1 to 9."""

    name: str = "few_bits"
    level: int = 9

    def check(self, prefix: str) -> list[str]:
        if 1 <= self.level <= 9:
            return []
        return [fault(f"{prefix}.level", self.level, "1 to 9")]

    def build(self, keep_ratio: float, profile: ProfileConfig) -> Codec:
        from their_methods.few_bits import FewBits

        return FewBits(keep_ratio, self.level)


@dataclass
class VarianceConfig(CompressorConfig):
    """Tokens whose channels vary most. center: of the departure from the page's mean token."""

    name: str = "variance"
    center: bool = False
    stage: ClassVar[StageName] = "token"

    def build(self, keep_ratio: float, profile: ProfileConfig) -> TokenCompressor:
        from their_methods.variance import Variance

        return Variance(keep_ratio, self.center)


@dataclass
class SmallKeysConfig(EvictConfig):
    """Tokens of the cache whose keys are short."""

    name: str = "small_keys"

    def build(self, keep_ratio: float, profile: ProfileConfig) -> KVMethod:
        from their_methods.small_keys import SmallKeys

        return SmallKeys(self.eviction(keep_ratio))
