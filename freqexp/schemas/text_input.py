"""Schemas of methods on a conversation that is given as text (`model.input=text`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from freqexp.schemas.method import CompressorConfig, StageName

if TYPE_CHECKING:
    from freqexp.schemas.profile import ProfileConfig
    from freqexp.tokens.truncate import Truncate


@dataclass
class TruncateConfig(CompressorConfig):
    """The newest turns of a conversation as text; keep_tokens counts those of all of it."""

    name: str = "truncate"
    stage: ClassVar[StageName] = "text"

    def build(self, keep_ratio: float, profile: ProfileConfig) -> Truncate:
        from freqexp.tokens.truncate import Truncate

        return Truncate(keep_ratio)
