"""A sample on its way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from freqexp.benchmarks.mrcr import later_score
from freqexp.benchmarks.parts import derailed
from freqexp.nouns.cache import CACHE_COMPONENTS
from freqexp.nouns.page import Page, Pixels
from freqexp.nouns.vision import CompressedTokens
from freqexp.readers.base import Answer
from freqexp.results.record import Record, mean

if TYPE_CHECKING:
    from torch import Tensor

    from freqexp.nouns.sample import Grade, Sample


@dataclass(frozen=True, eq=False)
class PageImages:
    """One sample's pages before and after the codec; the same pixels where no codec acts."""

    before: Sequence[Pixels]
    after: Sequence[Pixels]


@dataclass(eq=False)
class Work:
    """A sample on its way: what was found so far, and its tokens once it is ready to be asked.

    budget: how many of them a method inside the decoder is to leave. text: int64 [n], the tokens of
    the conversation where it is no pages.
    """

    sample: Sample
    found: dict[str, Any]
    images: PageImages | None = None
    pages: Sequence[Page] = ()
    tokens: list[CompressedTokens] = field(default_factory=list)
    budget: int | None = None
    text: Tensor | None = None

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
    return {
        **_choice(answer),
        **_cache(answer),
        **({} if answer.usage is None else asdict(answer.usage)),
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
        "cache_tokens_min": min(answer.cache_tokens, default=None),
        "cache_tokens_max": max(answer.cache_tokens, default=None),
        "batch_size": answer.batch_size,
    }


def _choice(answer: Answer) -> dict[str, Any]:
    return {} if answer.choose_ms is None else {"compress_ms": answer.choose_ms}


def _cache(answer: Answer) -> dict[str, Any]:
    """What is known of the cache. Tokens that left it after the prefill have been in all layers."""
    use, steps = answer.cache, (answer.new_tokens or 0) - 1
    found: dict[str, Any] = {
        "mean_layer_tokens": mean(answer.cache_tokens),
        "decode_token_ms": answer.decode_ms / steps if steps > 0 else None,
    }
    if use is None:
        return found
    if use.compress_ms is not None:
        found["mean_layer_tokens"] = float(answer.decoder_tokens or 0)
        found["kv_ms"] = use.compress_ms
    return {
        **found,
        "kv_full_bytes": use.full_bytes,
        "kv_end_bytes": use.end_bytes,
        "kv_read_bytes": use.read_bytes,
        "kv_shared_bytes": use.shared_bytes,
        **{f"kv_{name}_bytes": use.components.get(name, 0) for name in CACHE_COMPONENTS},
    }


def graded(grade: Grade, answer: Answer, sample: Sample, later: bool = True) -> dict[str, Any]:
    """What an answer is worth and what that is made of, by the names of a record.

    later: whether MRCR's grader made the grade, and says what the answer's later part is worth.
    """
    parts = grade.parts
    found = {
        "score": float(grade.score),
        "prefix_hit": grade.prefix_hit,
        "similarity": float(grade.similarity),
        "chance": grade.chance,
    }
    if later and answer.first_text is not None:
        first = answer.first_text
        found["later_score"] = float(later_score(answer.text, first, sample, grade.score))
    if parts is None:
        return found
    return {
        **found,
        "right_place": parts.right_place,
        "place_chance": parts.place_chance,
        "place_chars": parts.place_chars,
        "copied_share": parts.copied_share,
        "derailed": derailed(parts, answer.truncated, answer.text, sample.answer),
        "wrong_turn": parts.wrong_turn,
        "wrong_needle": parts.wrong_needle,
    }
