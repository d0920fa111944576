"""From lessons to exercises: pages drawn, encoded, and compressed with gradients; or their text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from freqexp.answering.token_stage import TokenStage
from freqexp.codecs.base import Codec
from freqexp.nouns.teaching import Exercise
from freqexp.nouns.vision import CompressedTokens, VisionTokens, keep_all
from freqexp.schemas.choices import Input
from freqexp.tokens.base import TokenCompressor
from freqexp.tokens.learned import LearnedCompressor
from freqexp.train.adapt.lessons import Lesson

if TYPE_CHECKING:
    from freqexp.config.run import RunConfig


@dataclass(eq=False)
class Read:
    """Lessons as exercises, once with all tokens of the pages as they were drawn, and once with
    what codec and compressor leave of them, or as text.

    losses: what the compressor adds to the loss. before, after: tokens without and with it.
    intact: of each exercise of `short`, bool [tokens of its pages]: those that are the same as
        before, bit for bit.
    """

    full: list[Exercise] = field(default_factory=list)
    short: list[Exercise] = field(default_factory=list)
    losses: list[Tensor] = field(default_factory=list)
    before: int = 0
    after: int = 0
    intact: list[Tensor] = field(default_factory=list)

    def intact_in(self, sequences: int) -> Tensor:
        """`intact` of the vision tokens of all sequences in turn: one sequence for each exercise,
        or one for each of its questions.
        """
        alone = sequences == len(self.short)
        repeats = [1 if alone else len(exercise.questions) for exercise in self.short]
        marks = zip(self.intact, repeats, strict=True)
        return torch.cat([mark for mark, count in marks for _ in range(count)])


class Reading:
    """What acts between a run's conversations and the decoder. compressor: None without one."""

    def __init__(self, run: RunConfig, reader: Any) -> None:
        built = {
            part.config.stage: part.build(run.profile)
            for part in run.compressor.parts(run.keep_ratio)
        }
        codec, compressor = built.get("codec"), built.get("token")
        assert codec is None or isinstance(codec, Codec)
        assert compressor is None or isinstance(compressor, TokenCompressor)
        self._reader, self._codec, self.compressor = reader, codec, compressor
        self._renderer = run.model.render.build()
        self._as_text = run.model.input is Input.text
        learned = self.learned
        self._following = None if learned is None else _Differentiable(learned)
        self._stage = TokenStage(run, self._following or compressor, None, reader)

    @property
    def learned(self) -> LearnedCompressor | None:
        """The compressor, if it has parameters."""
        return self.compressor if isinstance(self.compressor, LearnedCompressor) else None

    @property
    def acts(self) -> bool:
        """Whether there is anything between pages and decoder, or text in their place."""
        return self._as_text or self.compressor is not None or self._codec is not None

    def encode(self, lesson: Lesson, coded: bool) -> list[VisionTokens]:
        """Vision tokens of a lesson's pages, ready for gradients. coded: as the codec leaves them,
        if there is one.
        """
        pages = [page.pixels for page in self._renderer.render(lesson.turns)]
        if coded and self._codec is not None:
            pages = [self._codec.restored(page) for page in pages]
        encoded = self._reader.encode(pages, self._stage.page_signals)
        # What is made in inference mode takes no part in a graph; its copy does.
        return [_copied(page) for page in encoded]

    def read(self, lessons: Sequence[Lesson], compressed: bool, full: bool = True) -> Read:
        """The exercises of lessons; `short` is empty unless they are to be compressed.

        full: whether those of whole pages are asked for where text takes their place.
        """
        read = Read()
        for lesson in lessons:
            if compressed and self._as_text:
                self._write(read, lesson)
                if not full:
                    continue
            drawn = self.encode(lesson, coded=False)
            whole = [keep_all(page) for page in drawn]
            groups = [lesson.questions]
            if compressed and self._asks_question():
                groups = [(question,) for question in lesson.questions]
            read.full += [Exercise(whole, questions) for questions in groups]
            if self._as_text:
                read.before += sum(len(page.kept) for page in whole)
            elif compressed:
                vision = drawn if self._codec is None else self.encode(lesson, coded=True)
                for questions in groups:
                    self._compress(read, whole, vision, questions)
        return read

    def _write(self, read: Read, lesson: Lesson) -> None:
        """The lesson's text. None of its tokens is one of a page's."""
        text = self._reader.text_ids("".join(self._renderer.texts(lesson.turns)))
        read.short.append(Exercise((), lesson.questions, text=text))
        read.after += len(text)
        read.intact.append(torch.zeros(len(text), dtype=torch.bool, device=self._reader.device))

    def _compress(
        self,
        read: Read,
        whole: Sequence[CompressedTokens],
        vision: Sequence[VisionTokens],
        questions: Sequence[tuple[str, str]],
    ) -> None:
        tokens = self._stage.shorten(vision, questions[0][0]).tokens
        if self._following is not None:
            read.losses += self._following.taken()
        read.short.append(Exercise(tokens, questions))
        read.after += sum(len(page.kept) for page in tokens)
        read.before += sum(len(page.kept) for page in whole)
        read.intact.append(torch.cat(list(map(_intact, tokens, whole))))

    def _asks_question(self) -> bool:
        """Whether what stays depends on the question."""
        own = () if self.compressor is None else self.compressor.signals
        return "question" in (*own, *self._stage.budgets.signals)


class _Differentiable(TokenCompressor):
    """A learned compressor whose tokens keep their gradients and are not stored."""

    def __init__(self, learned: LearnedCompressor) -> None:
        self.simulated, self.signals = learned.simulated, learned.signals
        self.adaptive, self.fills_budget = learned.adaptive, learned.fills_budget
        self._learned = learned
        self._losses: list[Tensor] = []

    def compress(self, tokens: VisionTokens) -> CompressedTokens:
        """See `TokenCompressor`."""
        found = self._learned.reduce(tokens)
        if found.loss is not None:
            self._losses.append(found.loss)
        return CompressedTokens(found.features, found.kept, tokens.grid, deepstack=found.deepstack)

    def taken(self) -> list[Tensor]:
        """The losses of the pages since the last call."""
        losses, self._losses = self._losses, []
        return losses


def _intact(page: CompressedTokens, whole: CompressedTokens) -> Tensor:
    """Which of a page's tokens are those of the whole page at their places: bool [tokens]."""
    if page.grid != whole.grid:
        return torch.zeros(len(page.kept), dtype=torch.bool, device=page.features.device)
    return (page.features == whole.features[page.kept]).all(dim=1)


def _copied(page: VisionTokens) -> VisionTokens:
    levels = tuple(level.clone() for level in page.deepstack)
    signals = {name: signal.clone() for name, signal in page.signals.items()}
    return replace(page, features=page.features.clone(), deepstack=levels, signals=signals)
