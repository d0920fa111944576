"""A sample's conversation as text: counted in every run, and what a model reads in some."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from freqexp.answering.ledger import text_size_bytes
from freqexp.answering.measure import stopwatch
from freqexp.config.budget import acting_budget
from freqexp.schemas.choices import Input

if TYPE_CHECKING:
    from torch import Tensor

    from freqexp.answering.work import Work
    from freqexp.config.run import RunConfig
    from freqexp.nouns.sample import Sample
    from freqexp.readers.base import Reader
    from freqexp.tokens.truncate import Truncate

WARM_UP_TOKENS = 2048
"""Of a longer text all would take as long as the sample itself."""


class TextStage:
    """What becomes of a conversation's text. acts: whether it takes the place of pages.

    method: what leaves a part of it, or None.
    """

    def __init__(
        self,
        cfg: RunConfig,
        method: Truncate | None,
        reader: Reader,
        count: Callable[[Reader, str], int],
    ) -> None:
        self.acts = cfg.model.input is Input.text
        self._method = method
        self._budget = None if method is None else acting_budget(cfg).keep_tokens
        self._reader = reader
        self._count = count
        self._renderer = cfg.model.render.build()

    def count(self, sample: Sample) -> int | None:
        """Tokens that the sample's conversation takes as text; None for a reader without any."""
        if not (self._reader.reads_text and self._reader.counts_text):
            return None
        return self._count(self._reader, "".join(self._renderer.texts(sample.turns)))

    def prepare(self, work: Work) -> None:
        """Make a sample's text ready, and note what it takes."""
        turns = self._renderer.texts(work.sample.turns)
        text = "".join(turns)
        with stopwatch() as watch:
            kept = whole = self._reader.text_ids(text)
        found = work.found
        # Tokenizing takes the place of the encoder.
        found.update(pages=0, encode_ms=watch.ms)
        found["text_brotli_bytes"] = text_size_bytes(text)
        if self._method is not None:
            with stopwatch() as watch:
                kept = self._method.newest(turns, whole, self._reader.text_ids, self._budget)
            found["compress_ms"] = watch.ms
            found["simulated"] = len(kept) == len(whole)
        if self._reader.counts_text:
            found.update(text_tokens=len(whole), text_tokens_out=len(kept))
        work.text = kept

    def first_tokens(self, sample: Sample) -> tuple[Tensor, bool]:
        """The beginning of a sample's text, to warm up with, and whether that is all of it."""
        ids = self._reader.text_ids("".join(self._renderer.texts(sample.turns)))
        return ids[:WARM_UP_TOKENS], len(ids) <= WARM_UP_TOKENS
