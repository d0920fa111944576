"""The path one sample takes, every stage timed, whatever acts on the way."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from freqexp.answering.cache_stage import CacheStage
from freqexp.answering.faults import describe, is_out_of_memory
from freqexp.answering.in_flight import in_flight
from freqexp.answering.measure import PeakMemory, free_cuda_cache
from freqexp.answering.page_stage import PageStage
from freqexp.answering.storage import Stored, kept_bitmaps, kept_of, stored_tokens
from freqexp.answering.text_stage import TextStage
from freqexp.answering.token_stage import TokenStage
from freqexp.answering.work import PageImages, Work, figures, graded
from freqexp.benchmarks.legibility import character_error_rate
from freqexp.benchmarks.outside import grader
from freqexp.codecs.base import Codec
from freqexp.config.budget import acting_budget
from freqexp.errors import BudgetError, ConfigError, RunError
from freqexp.kv.base import KVMethod
from freqexp.nouns.vision import VisionTokens
from freqexp.results.record import Record
from freqexp.tokens.base import TokenCompressor
from freqexp.tokens.layer_base import LayerMethod
from freqexp.tokens.truncate import Truncate

if TYPE_CHECKING:
    from freqexp.answering.session import Session
    from freqexp.config.run import RunConfig
    from freqexp.nouns.sample import Sample

log = logging.getLogger(__name__)


class Pipeline:
    """Takes samples of one run through every stage. Making it loads the model.

    batch_size: how many samples are answered together from now on; it falls when the memory does
    not suffice for a batch, and is 1 for methods inside the decoder: each sample drops its own.

    Raises UserError when the model or a compressor cannot be had.
    """

    def __init__(self, cfg: RunConfig, session: Session) -> None:
        self._session = session
        built = {
            part.config.stage: part.build(cfg.profile)
            for part in cfg.compressor.parts(cfg.keep_ratio)
        }
        codec, compressor = built.get("codec"), built.get("token")
        assert codec is None or isinstance(codec, Codec)
        assert compressor is None or isinstance(compressor, TokenCompressor)
        # Pages and tokens are stored in different places: bytes of two parts have no sum.
        self._alone = codec is None or compressor is None
        pruner = built.get("decoder")
        assert pruner is None or isinstance(pruner, LayerMethod)
        self._pruner = pruner
        cache = built.get("kv")
        assert cache is None or isinstance(cache, KVMethod)
        newest = built.get("text")
        assert newest is None or isinstance(newest, Truncate)
        source = cfg.needles.source
        self._grader = None if source is None else grader(source)
        self._reader = session.reader(cfg)
        # No other run asks for what a codec alone made; token compressors behind it do.
        share = codec is None or compressor is not None
        self._pages = PageStage(cfg, codec, session, share)
        self._text = TextStage(cfg, newest, self._reader, session.text_tokens)
        self._flops = session.flops(self._reader)
        self._method = repr((cfg.compressor, cfg.profile, acting_budget(cfg)))
        self._stage = TokenStage(cfg, compressor, pruner, self._reader)
        self._cache = CacheStage(cfg, cache, self._reader)
        flags = {f"{stage}_simulated": part.simulated for stage, part in built.items() if part}
        self._flags = {"simulated": any(flags.values()), **flags}
        # A method inside the decoder or on text acts alone, so the run's own flag is its flag.
        for alone in ("decoder_simulated", "text_simulated"):
            self._flags.pop(alone, None)
        self.batch_size = cfg.model.batch_size if self._reader.can_batch else 1
        if pruner is not None:
            self._reader.check_layer(pruner.layer)
            self.batch_size = 1

    @property
    def generation(self) -> Mapping[str, Any]:
        """The settings that the model generates by."""
        return self._reader.generation

    def warm_up(self, sample: Sample) -> None:
        """Take a sample's first pages through every stage, unmeasured and past the caches.

        So the first sample of a run pays neither for what is loaded and allocated on first use nor
        for a path that the runs before it did not take. What fails here fails again where it is
        recorded.
        Raises BudgetError, for any reader, when a page there has too few tokens for `keep_tokens`,
        and what a compressor of the cache finds wrong with its settings.
        """
        if not self._reader.warms_up and not self._stage.budgets.counts:
            return
        try:
            if self._text.acts:
                self._warm_up_with_text(sample)
                return
            vision, whole = self._pages.first_tokens(
                sample, self._stage.page_signals, self._stage.chooser
            )
            found = self._stage.shorten(vision, sample.question)
            request = self._cache.request(sample.question, found.tokens, self._pruner, found.budget)
            if self._reader.warms_up:
                try:
                    self._reader.warm_up(request)
                except BudgetError:
                    # Fewer pages have fewer tokens in the cache than the whole sample.
                    if whole:
                        raise
        except (BudgetError, ConfigError):
            raise
        except Exception as error:
            log.debug("warm-up: %s", describe(error))
            free_cuda_cache()

    def _warm_up_with_text(self, sample: Sample) -> None:
        """Raises BudgetError for a text of too few tokens, unless it was cut for this."""
        text, whole = self._text.first_tokens(sample)
        try:
            self._reader.warm_up(self._cache.request(sample.question, [], None, None, text))
        except BudgetError:
            if whole:
                raise

    def answered(
        self, samples: Sequence[Sample]
    ) -> Iterator[Sequence[tuple[Record, PageImages | None]]]:
        """Records of all samples, those of a batch together; where a server answers, each as soon
        as it is there. Raises RunError when no further sample can be answered.
        """
        most = self._reader.requests_at_once
        if most is None:
            yield from (self.run(batch) for batch in self.batches(samples))
            return
        ready = (self._prepared(sample) for sample in samples)
        for work in in_flight(ready, self._asked, most):
            yield [(work.record(), work.images)]

    def _asked(self, work: Work) -> Work:
        """The same, answered; not the place to measure this process's memory."""
        if "error" not in work.found:
            self._answer([work])
        return work

    def batches(self, samples: Sequence[Sample]) -> Iterator[Sequence[Sample]]:
        """Samples that are answered together: one by one as given, or neighbours in length.

        The length is that of the text, which the number of pages and so the prompt follow. Short
        ones come first, so that a batch too large for the memory is met as late as possible.
        """
        if self.batch_size > 1:
            samples = sorted(samples, key=lambda sample: sample.characters)
        start = 0
        while start < len(samples):
            batch = samples[start : start + self.batch_size]
            yield batch
            start += len(batch)

    def run(self, samples: Sequence[Sample]) -> list[tuple[Record, PageImages | None]]:
        """The record of each sample of a batch, and its page images if it got that far.

        Whatever goes wrong on the way becomes the record's `error`: one sample must not take the
        others with it. What was measured before stays in the record.
        """
        memory = PeakMemory()
        memory.start()
        works = [self._prepared(sample) for sample in samples]
        self._answer([work for work in works if "error" not in work.found])
        peak_memory_bytes = memory.read_bytes()
        for work in works:
            work.found["peak_memory_bytes"] = peak_memory_bytes
        return [(work.record(), work.images) for work in works]

    def _prepared(self, sample: Sample) -> Work:
        """A sample up to the tokens that its answer needs."""
        work = Work(sample, dict(self._flags))
        try:
            if self._text.acts:
                self._text.prepare(work)
                work.found["encode_flops"] = self._flops.text()
                return work
            stored = self._pages.draw(work)
            if stored is not None:
                self._note("codec", *stored, work.found)
            work.found["text_tokens"] = self._text.count(work.sample)
            vision = self._pages.encode(work, self._stage.page_signals, self._stage.chooser)
            self._shorten(work, vision)
        except Exception as error:
            work.fail(describe(error))
        return work

    def _shorten(self, work: Work, vision: Sequence[VisionTokens]) -> None:
        """Put a sample's tokens through the token compressor, if there is one."""
        result, found = self._stage.shorten(vision, work.sample.question), work.found
        work.tokens, work.budget = result.tokens, result.budget
        if result.ms is not None:
            shapes = tuple(tuple(page.features.shape) for page in vision)
            found["compress_flops"] = self._flops.compress(
                (self._method, shapes), lambda: self._stage.shorten(vision, work.sample.question)
            )
            stored = stored_tokens(result.before, result.tokens)
            self._note("token", result.ms, stored, found)
            found["kept"] = kept_bitmaps(result.tokens)
        if result.simulated is not None:
            if result.ms is not None:
                found["token_simulated"] = result.simulated
            found["simulated"] = result.simulated or found.get("codec_simulated", False)

    def _note(self, stage: str, ms: float, stored: Stored, found: dict[str, Any]) -> None:
        """Write down what one part took and made, and the run's own figures where they follow."""
        found[f"{stage}_ms"] = ms
        found[f"{stage}_stored_bytes"] = stored.stored_bytes
        found[f"{stage}_nominal_ratio"] = stored.nominal_ratio
        found["compress_ms"] = found.get("compress_ms", 0.0) + ms
        if self._alone:
            found["stored_bytes"] = stored.stored_bytes
            found["nominal_ratio"] = stored.nominal_ratio
            found.update(stored.components)

    def _answer(self, works: Sequence[Work]) -> None:
        """Answer together; where that fails, each half by itself, down to single samples.

        So one bad sample costs its neighbours time and nothing else, and a batch that needs too
        much memory is repeated in smaller ones. The next batches are as small from the start.
        """
        if not works:
            return
        failure = self._attempt(works)
        if failure is None:
            return
        error, out_of_memory = failure
        if out_of_memory:
            free_cuda_cache()
        if len(works) == 1:
            works[0].fail(error)
            return
        middle = (len(works) + 1) // 2
        if out_of_memory:
            self.batch_size = min(self.batch_size, middle)
        self._answer(works[:middle])
        self._answer(works[middle:])

    def _attempt(self, works: Sequence[Work]) -> tuple[str, bool] | None:
        """None when all were answered and graded; else the error, and whether memory was short.

        Only text leaves the handler: the exception's frames hold the tensors of the failed batch.
        """
        try:
            requests = [
                self._cache.request(
                    work.sample.question, work.tokens, self._pruner, work.budget, work.text
                )
                for work in works
            ]
            plain = self._pruner is None and not self._cache.acts and not self._text.acts
            if len(requests) == 1 and plain:
                answers = [self._reader.answer(requests[0].question, requests[0].vision)]
            else:
                answers = self._reader.answer_batch(requests)
            grades = [
                (self._grader or self._session.grade)(answer.text, work.sample)
                for work, answer in zip(works, answers, strict=True)
            ]
            for work, answer in zip(works, answers, strict=True):
                if answer.transcript is not None:
                    drawn = [page.text for page in work.pages]
                    rate = character_error_rate(drawn, answer.transcript)
                    work.found["character_error_rate"] = rate
        except RunError:
            raise
        except Exception as error:
            return describe(error), is_out_of_memory(error)
        for work, answer, grade in zip(works, answers, grades, strict=True):
            if answer.kept is not None and len(answer.kept) < (answer.vision_tokens_out or 0):
                work.found["kept"] = kept_bitmaps(kept_of(work.tokens, answer.kept))
            work.tokens = []
            work.found.update(figures(answer))
            self._cache.note(work.found)
            if work.found.get("question") != "unseen":
                pruned = self._pruner is not None
                work.found["prefill_flops"] = self._flops.prefill(answer, pruned)
            work.found.update(graded(grade, answer, work.sample, later=self._grader is None))
        return None
