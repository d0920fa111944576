"""What happened to each sample."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, get_args, get_type_hints


@dataclass(frozen=True, kw_only=True)
class Record:
    """One sample of one run. None means "not measured", never zero.

    index: the sample's place in the order that the run's seed gives its data set, from 0; None in
        records of before there was one.
    score: the official grade in [0, 1]; None exactly when `error` says why there is none.
    prefix: what the answer must begin with. prefix_hit, similarity, chance: see `Grade`.
    right_place, place_chance, place_chars, copied_share, wrong_turn, wrong_needle: what the score
        is made of, see `Parts`; wrong_turn and wrong_needle are None, too, when no other turn was
        copied, copied_share is None only where nothing of this was recorded.
    truncated: generation ran into max_new_tokens. derailed: see `freqexp.benchmarks.parts`.
    answer: what was graded. raw_answer: all that was generated, where that is more (thinking).
    character_error_rate: of a reader that transcribes, see `freqexp.benchmarks.legibility`.
    text_tokens: what the conversation takes as text with the model's tokenizer, whatever the model
        was given. text_tokens_out: of a model that was given text, those in its sequence.
    vision_tokens_in / vision_tokens_out / decoder_tokens / kv_cache_bytes / new_tokens: as the
        decoder saw them at its input, see `Answer`. cache_tokens_min / cache_tokens_max /
        mean_layer_tokens: length of the layers' caches after prefill, shortest, longest and mean;
        shorter than decoder_tokens where tokens were dropped inside the decoder.
    kept: which vision tokens of each page remained, "rows x columns" of its grid and a bitmap in
        raster order, as in "2x2:a 2x2:f"; None when all did. Of a method inside the decoder: from
        its layer on.
    raw_bytes: the pages' pixels, uncompressed. png_bytes / png_bytes_after: their PNGs before /
        after the codec (equal without a codec). page_pixels, lossless_bytes, text_brotli_bytes,
        page_characters, missing_characters: see `PageSizes`.
    stored_bytes: the bitstreams that were decoded again. header_bytes ... codebook_bytes: the same
        by component, see COMPONENTS in `codecs.base`. nominal_ratio: a count of coefficients or
        bits, not storage. simulated: nothing really got shorter or smaller; where several methods
        act in a run: that holds for one of them.
    codec_* / token_*: the same figures of each method by the stage it acts at (None: none acts
        there). With several, compress_ms is the sum of their times, and stored_bytes and
        nominal_ratio are None: pages and tokens are stored in different places.
    question: "seen" or "unseen", of a method on the KV cache, see `CacheCompressor`.
    kv_cache_bytes: what the cache kept alive after prefill, compressed where it was.
    kv_codes_bytes ... kv_exact_bytes: the same by component, see `Component`. kv_full_bytes,
        kv_end_bytes, kv_read_bytes, kv_shared_bytes: see `CacheUse`. kv_ms, kv_simulated: as of
        other stages; simulated where the cache held no less than kv_full_bytes.
    later_score: the score from the answer's second token on, see `later_score`.
    decode_token_ms: of each token after the first.
    encode_flops, compress_flops, prefill_flops: counted, see `freqexp.answering.flops`; None where
        they can't be: tokens dropped before the encoder, a cache compressed between two passes.
    compress_ms: inside the decoder and of the cache a part that prefill_ms is without.
    render_ms, encode_ms: None when the pages or their encoding came from a cache. Of text encode_ms
        is the time of the tokenizer.
    batch_size: samples answered together in the end, this one included (smaller than
        model.batch_size after a lack of memory or an error in the batch). prefill_ms, decode_ms: of
        one sample; in a batch the batch's time over its size.
    peak_memory_bytes: on CUDA the most memory that tensors took during the batch; on a CPU the
        peak resident size of the whole process during it (weights and libraries included); None of
        a model that a server runs.
    prompt_tokens, completion_tokens, retries, cost: of such a model, see `Usage`.
    """

    sample_id: str
    needles: int
    bucket: str
    expected: str
    prefix: str | None = None
    index: int | None = None
    score: float | None = None
    later_score: float | None = None
    prefix_hit: bool | None = None
    similarity: float | None = None
    chance: float | None = None
    right_place: bool | None = None
    place_chance: float | None = None
    place_chars: int | None = None
    copied_share: float | None = None
    derailed: bool | None = None
    wrong_turn: int | None = None
    wrong_needle: bool | None = None
    answer: str | None = None
    raw_answer: str | None = None
    error: str | None = None
    truncated: bool | None = None
    character_error_rate: float | None = None
    pages: int | None = None
    text_tokens: int | None = None
    text_tokens_out: int | None = None
    vision_tokens_in: int | None = None
    vision_tokens_out: int | None = None
    decoder_tokens: int | None = None
    question: str | None = None
    kv_cache_bytes: int | None = None
    kv_full_bytes: int | None = None
    kv_codes_bytes: int | None = None
    kv_scales_bytes: int | None = None
    kv_zeros_bytes: int | None = None
    kv_indices_bytes: int | None = None
    kv_basis_bytes: int | None = None
    kv_window_bytes: int | None = None
    kv_exact_bytes: int | None = None
    kv_end_bytes: int | None = None
    kv_read_bytes: int | None = None
    kv_shared_bytes: int | None = None
    kept: str | None = None
    raw_bytes: int | None = None
    png_bytes: int | None = None
    png_bytes_after: int | None = None
    page_pixels: int | None = None
    lossless_bytes: int | None = None
    text_brotli_bytes: int | None = None
    page_characters: int | None = None
    missing_characters: int | None = None
    stored_bytes: int | None = None
    header_bytes: int | None = None
    masks_bytes: int | None = None
    indices_bytes: int | None = None
    values_bytes: int | None = None
    scales_bytes: int | None = None
    codebook_bytes: int | None = None
    nominal_ratio: float | None = None
    simulated: bool | None = None
    codec_ms: float | None = None
    codec_stored_bytes: int | None = None
    codec_nominal_ratio: float | None = None
    codec_simulated: bool | None = None
    token_ms: float | None = None
    token_stored_bytes: int | None = None
    token_nominal_ratio: float | None = None
    token_simulated: bool | None = None
    kv_ms: float | None = None
    kv_simulated: bool | None = None
    render_ms: float | None = None
    compress_ms: float | None = None
    encode_ms: float | None = None
    prefill_ms: float | None = None
    decode_ms: float | None = None
    decode_token_ms: float | None = None
    encode_flops: int | None = None
    compress_flops: int | None = None
    prefill_flops: int | None = None
    new_tokens: int | None = None
    cache_tokens_min: int | None = None
    cache_tokens_max: int | None = None
    mean_layer_tokens: float | None = None
    batch_size: int | None = None
    peak_memory_bytes: int | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    retries: int | None = None
    cost: float | None = None


# JSON knows no difference between 1 and 1.0.
_TYPES: Mapping[str, Any] = {
    name: kind | int if float in get_args(kind) else kind
    for name, kind in get_type_hints(Record).items()
}
# Exactly these need no closer look: a check of a union takes long, and a record has 50 fields.
_PLAIN: Mapping[str, frozenset[type]] = {
    name: frozenset(get_args(kind) or (kind,)) for name, kind in _TYPES.items()
}
_REQUIRED = ("sample_id", "needles", "bucket", "expected")


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def cut_off(record: Record, mark: str | None) -> bool:
    """Whether a model that thinks before it answers ran into its length before the mark after which
    the answer stands (`model.answer_after`): what was graded is no answer.
    """
    return mark is not None and bool(record.truncated) and record.raw_answer is None


def parse_record(line: str) -> Record:
    """The record in one line. Fields this version does not know are ignored, missing measurements
    are None.

    Raises ValueError saying what is wrong with the line.
    """
    value = json.loads(line, parse_constant=_reject_constant)
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    known = {name: value[name] for name in _TYPES if name in value}
    for name in _REQUIRED:
        if name not in known:
            raise ValueError(f"field {name} is missing")
    for name, item in known.items():
        if type(item) in _PLAIN[name]:
            continue
        whole_float = (
            isinstance(item, int) and not isinstance(item, bool) and isinstance(0.0, _TYPES[name])
        )
        if not (whole_float or isinstance(item, _TYPES[name])):
            raise ValueError(f"field {name} has the wrong type: {item!r}")
    record = Record(**known)
    if (record.score is None) == (record.error is None):
        raise ValueError("needs exactly one of score and error")
    if record.score is not None and not 0.0 <= record.score <= 1.0:
        raise ValueError(f"score {record.score!r} is outside [0, 1]")
    return record


def settle(records: Iterable[Record]) -> dict[str, Record]:
    """The one record that counts for each sample id, sorted by id.

    A failed sample is tried again on the next start, so a sample can have several lines: the first
    scored one counts (a result, once recorded, is never replaced), else the last failure.
    """
    chosen: dict[str, Record] = {}
    for record in records:
        earlier = chosen.get(record.sample_id)
        if earlier is None or earlier.score is None:
            chosen[record.sample_id] = record
    return dict(sorted(chosen.items()))


def first(records: Mapping[str, Record], count: int) -> dict[str, Record]:
    """Those of settled records that are of the first `count` samples of the data set.

    A run can have more: it grows when it is asked for more samples. A record without an index is of
    a run that could not grow, and stays.
    """
    return {
        name: record
        for name, record in records.items()
        if record.index is None or record.index < count
    }


def median(values: Iterable[float | None]) -> float | None:
    """Median of the values that were measured; None when none was."""
    measured = [value for value in values if value is not None]
    return statistics.median(measured) if measured else None


def mean(values: Iterable[float | None]) -> float | None:
    """Mean of the values that were measured, independent of their order; None when none was."""
    measured = [value for value in values if value is not None]
    return math.fsum(measured) / len(measured) if measured else None
