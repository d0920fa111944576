"""Schemas of methods on vision tokens that have parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from freqexp.schemas.choices import MergeForm, MergeStart
from freqexp.schemas.method import CompressorConfig, StageName

if TYPE_CHECKING:
    from freqexp.schemas.profile import ProfileConfig
    from freqexp.tokens.base import TokenCompressor
    from freqexp.tokens.trained.settings import MergeSettings


@dataclass
class MergeConfig(CompressorConfig):
    """Learned merging of neighbours: one token for each group of `rows` x `columns`.

    form: what makes it. start: what that begins as. high, with form=dct: how many of the higher
    coefficients act; None: all, 0: average pooling. rank: of each one's map; None: full. heads: of
    form=attention. weights: a folder with trained ones, or "bundled"; None: as it starts.
    """

    name: str = "merge"
    rows: int = 1
    columns: int = 2
    form: MergeForm = MergeForm.linear
    start: MergeStart = MergeStart.detail
    high: int | None = None
    rank: int | None = None
    heads: int = 8
    weights: str | None = None
    stage: ClassVar[StageName] = "token"

    @property
    def adaptive(self) -> bool:
        return True

    def settings(self) -> MergeSettings:
        """As the method takes them."""
        from freqexp.tokens.trained.settings import MergeSettings

        return MergeSettings(
            rows=self.rows,
            columns=self.columns,
            form=self.form.value,
            start=self.start.value,
            high=self.high,
            rank=self.rank,
            heads=self.heads,
        )

    def check(self, prefix: str) -> list[str]:
        from freqexp.tokens.trained.settings import merge_faults
        from freqexp.tokens.trained.weights import differences

        settings = self.settings()
        faults = merge_faults(settings, f"{prefix}.")
        return faults or differences(self.weights, self.name, settings.said(), f"{prefix}.")

    def build(self, keep_ratio: float, profile: ProfileConfig) -> TokenCompressor:
        from freqexp.tokens.merge import Merge

        return Merge(self.settings(), self.weights)


LEARNED_METHODS: tuple[type[CompressorConfig], ...] = (MergeConfig,)
