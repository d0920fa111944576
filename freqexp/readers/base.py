"""What every reader shares."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from freqexp.errors import UserError, fault
from freqexp.nouns.cache import CacheCompressor, Component
from freqexp.nouns.page import Lines, Pixels
from freqexp.nouns.teaching import Exercise, Taught
from freqexp.nouns.vision import (
    Chooser,
    CompressedTokens,
    LayerPruner,
    Signal,
    VisionTokens,
)

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Request:
    """A question about pages, whose (compressed) tokens come before it, or about a text.

    text: int64 [n], tokens of the conversation in place of pages, see `Reader.text_ids`; `vision`
    is empty then.
    pruner: drops vision tokens inside the decoder, for readers with `prunes_in_decoder`.
    budget: how many vision tokens it is to leave; None: what its keep ratio makes of them.
    compressor: of the KV cache, for readers with `compresses_cache`; requests of a batch have the
    same. cache_budget: how many tokens of each layer it is to leave, or None.
    """

    question: str
    vision: Sequence[CompressedTokens]
    pruner: LayerPruner | None = None
    budget: int | None = None
    compressor: CacheCompressor | None = None
    cache_budget: int | None = None
    text: Tensor | None = None


@dataclass(frozen=True)
class CacheUse:
    """What the KV cache of one request took, beside `Answer.kv_cache_bytes`.

    full_bytes: keys and values of the whole prompt as the model made them.
    components: what `kv_cache_bytes` is made of, by the cache's own count.
    end_bytes: held after the last step.
    read_bytes: the most that reading one layer took beside what is held; a reader that can't read
    layer by layer: all of them.
    shared_bytes: of what serves all requests, counted nowhere else.
    compress_ms: what compressing took; None where nothing acts or a library does.
    """

    full_bytes: int
    components: Mapping[Component, int]
    end_bytes: int
    read_bytes: int = 0
    shared_bytes: int = 0
    compress_ms: float | None = None


@dataclass(frozen=True)
class Usage:
    """What a server says that an answer took.

    prompt_tokens, completion_tokens: as it counts them. retries: how often it was asked again.
    cost: of these tokens by the prices that the run names. None: not told.
    """

    prompt_tokens: int | None
    completion_tokens: int | None
    retries: int
    cost: float | None


@dataclass(frozen=True)
class Answer:
    """An answer and what it measurably took.

    text: the decoded answer, special tokens removed, without the thinking before it.
    truncated: generation stopped at max_new_tokens, not at an end token.
    vision_tokens_in / vision_tokens_out: vision tokens before compression / in the decoder's
    sequence; None, as the next two, of a model that can't be looked into.
    decoder_tokens: prompt length the decoder really saw at its input at prefill (text and vision
    tokens), without the padding of a batch.
    kv_cache_bytes: bytes that the cache keeps alive right after prefill, without the padding of a
        batch, compressed where it was; None for a reader without a cache. cache: more of it.
    prefill_ms / decode_ms: wall time of the prefill / of all later steps; of a batch, its time
    divided by its size. Without `choose_ms` and the cache's `compress_ms`, so that the sum of all
    stages counts them once.
    cache_tokens: tokens in each layer's cache right after prefill, without padding; empty where the
    cache can't be read.
    choose_ms: of the prefill's wall time, what a pruner inside the decoder took to choose; None
        without one. kept: what it chose, see `LayerPruner`.
    new_tokens: generated tokens, the end token included.
    raw_text: all that was generated, special tokens removed. first_text: of the first token alone,
        which sees the whole prompt where the cache is compressed after it.
    batch_size: requests that were answered together.
    transcript: what was read of each page, as many lines as the page has, joined by newlines; None
        for a reader that answers without one.
    usage: of a model that a server runs. Its `prefill_ms` is the time to the first token, with
        connecting and sending, its `decode_ms` the rest.
    """

    text: str
    truncated: bool
    vision_tokens_in: int | None
    vision_tokens_out: int | None
    decoder_tokens: int | None
    kv_cache_bytes: int | None
    prefill_ms: float
    decode_ms: float
    cache_tokens: tuple[int, ...] = ()
    new_tokens: int | None = None
    raw_text: str | None = None
    first_text: str | None = None
    batch_size: int = 1
    transcript: tuple[str, ...] | None = None
    choose_ms: float | None = None
    kept: tuple[int, ...] | None = None
    cache: CacheUse | None = None
    usage: Usage | None = None


SEPARATOR = "\n"
"""Between a conversation as text, which ends its last line, and the question."""

WARM_UP_TOKENS = 4
"""New tokens of a warm-up."""


class Reader(ABC):
    """A model that reads pages. Owns everything particular to a model family."""

    can_batch: bool = False
    """Whether `answer_batch` answers several requests at once; if not, it takes them in turn."""
    reads_lines: bool = False
    """Whether it reads line by line and has to be told where the lines are (`encode_lines`)."""

    grids_a_page: int = 1
    """How many grids of tokens `encode` makes of one page, in a row."""

    signals: tuple[Signal, ...] = ()
    """What `encode` can give beside the features; with "question", `question_embeddings` works."""
    drops_before_encoder: bool = False
    """Whether `encode` takes a chooser."""
    prunes_in_decoder: bool = False
    """Whether `answer_batch` takes requests with a pruner."""
    compresses_cache: bool = False
    """Whether `answer_batch` takes requests with a compressor of the KV cache."""

    reads_text: bool = False
    """Whether `answer_batch` takes requests with a text in place of pages, made by `text_ids`."""

    counts_text: bool = True
    """Of those: whether what `text_ids` makes are the model's own tokens."""

    requests_at_once: int | None = None
    """How many threads may ask at once, each for one answer; None: answers are made here, in
    batches."""

    teaches: bool = False
    """Whether `teach` works: a pass with gradients."""

    warms_up: bool = False
    """Whether first answers take longer than later ones, and `warm_up` is worth calling."""

    @property
    def generation(self) -> Mapping[str, Any]:
        """The settings that generation goes by, the checkpoint's own among them; {} without."""
        return {}

    def warm_up(self, request: Request) -> None:
        """Answer with few tokens, for libraries, threads and memory to be ready. Not measured.

        Called where `warms_up`.
        """
        raise NotImplementedError

    @abstractmethod
    def encode(
        self,
        pages: Sequence[Pixels],
        signals: Sequence[Signal] = (),
        chooser: Chooser | None = None,
    ) -> list[VisionTokens]:
        """Vision tokens of each page, with the signals asked for, which change no feature.

        chooser: says which of a page's tokens reach the encoder. The others cost it nothing and are
        not in the result, whose `places` says which are; of signals it has the pixels of those.
        Called with one where `drops_before_encoder`.
        Raises UserError without pages and for a page outside the model's limits.
        """

    def question_embeddings(self, question: str) -> Tensor:
        """See `Signal`. Called where it is among `signals`."""
        raise NotImplementedError

    def text_ids(self, text: str) -> Tensor:
        """Tokens int64 [n] of a text by itself, without chat template and special tokens.

        Called where `reads_text`.
        """
        raise NotImplementedError

    def encode_lines(self, pages: Sequence[Pixels], lines: Sequence[Lines]) -> list[VisionTokens]:
        """`encode` with the places of each page's lines, called where `reads_lines`."""
        raise NotImplementedError

    @abstractmethod
    def answer(self, question: str, vision: Sequence[CompressedTokens]) -> Answer:
        """Greedy answer to `question` with the pages' (compressed) tokens before it.

        Raises UserError when the prompt exceeds the model's context, and for tokens that do not
        fit their grid or the model.
        """

    def teach(self, exercises: Sequence[Exercise], states: bool = False) -> Taught:
        """One pass over exercises of a batch. Called where `teaches`.

        states: whether hidden states are wanted. Raises what `answer` raises.
        """
        raise NotImplementedError

    def check_layer(self, layer: int) -> None:
        """Raises UserError unless vision tokens can be dropped at the input of decoder layer
        `layer`.
        """
        raise UserError(fault("compressor.layer", layer, "no layer of this model family"))

    def check_compressor(self, compressor: CacheCompressor) -> None:
        """Raises UserError unless the model's KV cache can be compressed by it."""
        raise UserError(fault("compressor", type(compressor).__name__, "none on this KV cache"))

    def prompt_tokens(self, request: Request) -> int | None:
        """Length of the sequence the decoder would see; None where only answering tells."""
        return None

    def answer_batch(self, requests: Sequence[Request]) -> list[Answer]:
        """Answers in the order of the requests, each as `answer` would give it in float32.

        Requests with a pruner are answered one by one: each leaves its own tokens.
        Raises what `answer` raises, for the whole batch.
        """
        return [self.answer(request.question, request.vision) for request in requests]
