"""Schemas of methods on vision tokens that have parameters."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar

from freqexp.schemas.choices import Books, Domain, MergeForm, MergeStart, MergeWhich
from freqexp.schemas.method import CompressorConfig, StageName
from freqexp.schemas.section import Section

if TYPE_CHECKING:
    from freqexp.nouns.vision import Signal
    from freqexp.schemas.profile import ProfileConfig
    from freqexp.tokens.base import TokenCompressor
    from freqexp.tokens.trained.settings import MergeSettings, VqSettings


@dataclass
class LearnedConfig(CompressorConfig):
    """What these methods share."""

    stage: ClassVar[StageName] = "token"


@dataclass
class MergeConfig(LearnedConfig):
    """Learned merging of neighbours: one token for groups of `rows` x `columns`.

    which: all, each of them; needed, blank tokens leave first, and then no more pairs are merged
    than the keep ratio or the budget asks for. form: what makes it. start: what that begins as.
    high, with form=dct: how many of the higher coefficients act; None: all, 0: average pooling.
    rank: of each one's map; None: full. heads: of form=attention. weights: a folder with trained
    ones, or "bundled"; None: as it starts.
    """

    name: str = "merge"
    rows: int = 1
    columns: int = 2
    which: MergeWhich = MergeWhich.all
    form: MergeForm = MergeForm.linear
    start: MergeStart = MergeStart.detail
    high: int | None = None
    rank: int | None = None
    heads: int = 8
    weights: str | None = None

    @property
    def signals(self) -> tuple[Signal, ...]:
        return ("pixels",) if self.which is MergeWhich.needed else ()

    @property
    def adaptive(self) -> bool:
        return self.which is MergeWhich.all

    def settings(self) -> MergeSettings:
        """As the method takes them."""
        settings = _merge_settings(self.rows, self.columns, self)
        return replace(settings, which=self.which.value)

    def check(self, prefix: str) -> list[str]:
        from freqexp.tokens.trained.settings import merge_faults
        from freqexp.tokens.trained.weights import differences

        settings = self.settings()
        faults = merge_faults(settings, f"{prefix}.")
        return faults or differences(self.weights, self.name, settings.said(), f"{prefix}.")

    def build(self, keep_ratio: float, profile: ProfileConfig) -> TokenCompressor:
        from freqexp.tokens.merge import Merge

        return Merge(self.settings(), self.weights, keep_ratio)


@dataclass
class MergeBefore(Section):
    """The merge before a quantiser, as in MergeConfig."""

    form: MergeForm = MergeForm.linear
    start: MergeStart = MergeStart.detail
    high: int | None = None
    rank: int | None = None
    heads: int = 8


@dataclass
class TokenVqConfig(LearnedConfig):
    """Vector quantisation of vision tokens.

    kind: how code words stand for a token. books: how many do; None: 2, or 1 of kind=plain. codes:
    of each book. domain: what is quantised. band_books, with domain=dct: books of each band; None:
    those of `books`, 1 and 0. edge_low, edge_mid: where the bands end. rows, columns: of the groups
    that are merged before, as `merge` says; 1 x 1: none. beam: of the search. commitment, decay,
    expire: of training. center: whether the mean token is taken off. weights: a folder with trained
    ones, or "bundled"; None: each page has its own codebooks.
    """

    name: str = "token_vq"
    kind: Books = Books.residual
    books: int | None = None
    codes: int = 64
    domain: Domain = Domain.token
    band_books: list[int] | None = None
    edge_low: float = 4.0
    edge_mid: float = 8.0
    rows: int = 1
    columns: int = 1
    merge: MergeBefore = field(default_factory=MergeBefore)
    beam: int = 8
    commitment: float = 0.25
    decay: float = 0.99
    expire: float = 0.1
    center: bool = True
    weights: str | None = None

    @property
    def uses_keep_ratio(self) -> bool:
        return False

    @property
    def adaptive(self) -> bool:
        return self.rows * self.columns > 1

    def settings(self) -> VqSettings:
        """As the method takes them."""
        from freqexp.tokens.trained.settings import VqSettings

        return VqSettings(
            kind=self.kind.value,
            books=self.books,
            codes=self.codes,
            domain=self.domain.value,
            band_books=None if self.band_books is None else tuple(self.band_books),
            edge_low=self.edge_low,
            edge_mid=self.edge_mid,
            merge=_merge_settings(self.rows, self.columns, self.merge),
            beam=self.beam,
            commitment=self.commitment,
            decay=self.decay,
            expire=self.expire,
            center=self.center,
        )

    def check(self, prefix: str) -> list[str]:
        from freqexp.tokens.trained.weights import differences

        settings = self.settings()
        faults = settings.faults(f"{prefix}.")
        return faults or differences(self.weights, self.name, settings.said(), f"{prefix}.")

    def build(self, keep_ratio: float, profile: ProfileConfig) -> TokenCompressor:
        from freqexp.tokens.token_vq import TokenVq

        return TokenVq(self.settings(), self.weights)


def _merge_settings(rows: int, columns: int, how: MergeConfig | MergeBefore) -> MergeSettings:
    """As the methods take them."""
    from freqexp.tokens.trained.settings import MergeSettings

    return MergeSettings(
        rows=rows,
        columns=columns,
        form=how.form.value,
        start=how.start.value,
        high=how.high,
        rank=how.rank,
        heads=how.heads,
    )
