"""What happens to a sample's vision tokens between the encoder and the decoder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from freqexp.answering.budget import PageBudgets
from freqexp.answering.cache import OF_PAGES
from freqexp.answering.measure import stopwatch
from freqexp.answering.storage import keep_deepstack
from freqexp.nouns.vision import (
    Chooser,
    CompressedTokens,
    LayerPruner,
    Signal,
    VisionTokens,
    keep_all,
)

if TYPE_CHECKING:
    from torch import Tensor

    from freqexp.config.run import RunConfig
    from freqexp.readers.base import Reader
    from freqexp.tokens.base import TokenCompressor


@dataclass(frozen=True, eq=False)
class Shortened:
    """A sample's tokens for the decoder.

    before: as they came, with their budgets. ms: what the method took, a choice before the encoder
    included; None where no method acts here. budget: how many tokens of the request a method inside
    the decoder is to leave; None: what its keep ratio makes of them. simulated: whether all tokens
    stay; None where the method's settings say it.
    """

    before: Sequence[VisionTokens]
    tokens: list[CompressedTokens]
    ms: float | None
    budget: int | None
    simulated: bool | None


class TokenStage:
    """A token compressor, or a method inside the decoder that gets its budget here, or neither.

    page_signals: what the encoder is asked for beside the tokens. chooser: what says before it
    which tokens reach it. budgets: counts of tokens in place of the keep ratio.
    """

    def __init__(
        self,
        cfg: RunConfig,
        compressor: TokenCompressor | None,
        pruner: LayerPruner | None,
        reader: Reader,
    ) -> None:
        self.budgets = PageBudgets(cfg)
        self._compressor = compressor
        self._pruner = pruner
        self._reader = reader
        own: tuple[Signal, ...] = () if compressor is None else compressor.signals
        self._signals = {*own, *self.budgets.signals}
        self.chooser: TimedChooser | None = None
        if compressor is not None and compressor.before_encoder:
            # It looks at the pixels by itself.
            self._signals, self.chooser = set(), TimedChooser(compressor.choose)
        self.page_signals = tuple(name for name in OF_PAGES if name in self._signals)

    def shorten(self, vision: Sequence[VisionTokens], question: str) -> Shortened:
        """The tokens that the decoder is given.

        Raises BudgetError for pages with fewer tokens than are to stay, and what compressors raise.
        """
        with stopwatch() as asking:
            if "question" in self._signals:
                words = self._reader.question_embeddings(question)
                vision = [_with_question(page, words) for page in vision]
        # Counting by another method is not the method's own time.
        vision = self.budgets.applied(vision, self._reader.grids_a_page)
        if self._compressor is None:
            tokens = [keep_all(page) for page in vision]
            budget = _sum(page.budget for page in vision) if self._pruner is not None else None
            whole = sum(len(page.kept) for page in tokens)
            simulated = None if budget is None else budget == whole
            return Shortened(vision, tokens, None, budget, simulated)
        with stopwatch() as watch:
            tokens = [keep_deepstack(page, self._compressor.compress(page)) for page in vision]
        ms = asking.ms + watch.ms
        if self.chooser is not None:
            ms += self.chooser.taken_ms
        return Shortened(vision, tokens, ms, None, keeps_all(tokens) if self.budgets.acts else None)


class TimedChooser:
    """A chooser whose time is the method's and not the encoder's.

    taken_ms: milliseconds since `restart`.
    """

    def __init__(self, chooser: Chooser) -> None:
        self._chooser = chooser
        self.taken_ms = 0.0

    def restart(self) -> None:
        """Before another sample."""
        self.taken_ms = 0.0

    def __call__(self, pixels: Tensor, grid: tuple[int, int]) -> Tensor:
        """The choice, timed."""
        with stopwatch() as watch:
            kept = self._chooser(pixels, grid)
        self.taken_ms += watch.ms
        return kept


def keeps_all(compressed: Sequence[CompressedTokens]) -> bool:
    """Whether no page has fewer tokens than before."""
    return all(len(page.kept) == page.grid[0] * page.grid[1] for page in compressed)


def _with_question(page: VisionTokens, words: Tensor) -> VisionTokens:
    return replace(page, signals={**page.signals, "question": words})


def _sum(budgets: Iterable[int | None]) -> int | None:
    """The sum of budgets, of which all are there or none."""
    known = [budget for budget in budgets if budget is not None]
    return sum(known) if known else None
