"""A sample on its way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from freqexp.benchmarks.parts import derailed
from freqexp.nouns.page import Page, Pixels
from freqexp.nouns.vision import CompressedTokens
from freqexp.readers.base import Answer
from freqexp.results.record import Record, mean

if TYPE_CHECKING:
    from freqexp.nouns.sample import Grade, Sample


@dataclass(frozen=True, eq=False)
class PageImages:
    """One sample's pages before and after the codec; the same pixels where no codec acts."""

    before: Sequence[Pixels]
    after: Sequence[Pixels]


@dataclass(eq=False)
class Work:
    """A sample on its way: what was found so far, and its tokens once it is ready to be asked.

    budget: how many of them a method inside the decoder is to leave.
    """

    sample: Sample
    found: dict[str, Any]
    images: PageImages | None = None
    pages: Sequence[Page] = ()
    tokens: list[CompressedTokens] = field(default_factory=list)
    budget: int | None = None

    def fail(self, error: str) -> None:
        """Note why there is no answer."""
        self.found["error"] = error
        self.tokens = []

    def record(self) -> Record:
        """What was found."""
        return Record(
            sample_id=self.sample.sample_id,
            needles=self.sample.needles,
            bucket=self.sample.bucket,
            expected=self.sample.answer,
            prefix=self.sample.prefix,
            **self.found,
        )


def figures(answer: Answer) -> dict[str, Any]:
    """What an answer says of itself, by the names of a record."""
    chosen = {} if answer.choose_ms is None else {"compress_ms": answer.choose_ms}
    return {
        **chosen,
        "answer": answer.text,
        "raw_answer": None if answer.raw_text == answer.text else answer.raw_text,
        "truncated": answer.truncated,
        "vision_tokens_in": answer.vision_tokens_in,
        "vision_tokens_out": answer.vision_tokens_out,
        "decoder_tokens": answer.decoder_tokens,
        "kv_cache_bytes": answer.kv_cache_bytes,
        "prefill_ms": answer.prefill_ms,
        "decode_ms": answer.decode_ms,
        "new_tokens": answer.new_tokens,
        "mean_layer_tokens": mean(answer.cache_tokens),
        "cache_tokens_min": min(answer.cache_tokens, default=None),
        "cache_tokens_max": max(answer.cache_tokens, default=None),
        "batch_size": answer.batch_size,
    }


def graded(grade: Grade, answer: Answer, expected: str) -> dict[str, Any]:
    """What an answer is worth and what that is made of, by the names of a record."""
    parts = grade.parts
    found = {
        "score": float(grade.score),
        "prefix_hit": grade.prefix_hit,
        "similarity": float(grade.similarity),
        "chance": grade.chance,
    }
    if parts is None:
        return found
    return {
        **found,
        "right_place": parts.right_place,
        "place_chance": parts.place_chance,
        "place_chars": parts.place_chars,
        "copied_share": parts.copied_share,
        "derailed": derailed(parts, answer.truncated, answer.text, expected),
        "wrong_turn": parts.wrong_turn,
        "wrong_needle": parts.wrong_needle,
    }
