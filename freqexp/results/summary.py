"""One run in numbers, and the file they stand in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from freqexp.files import read_json, write_json
from freqexp.results.record import Record, first, settle
from freqexp.results.record_file import RECORDS, load_records

SUMMARY = "summary.json"

TIMES = (
    "render_ms",
    "compress_ms",
    "codec_ms",
    "token_ms",
    "kv_ms",
    "encode_ms",
    "prefill_ms",
    "decode_ms",
    "decode_token_ms",
)
"""Figures that differ from one machine or start to the next, as does the peak memory."""

MEDIANS = tuple(f"{name}_median" for name in TIMES)
"""The same as medians, which one slow sample does not move."""

FIGURES = (
    "later_score",
    "character_error_rate",
    "pages",
    "text_tokens",
    "text_tokens_out",
    "vision_tokens_in",
    "vision_tokens_out",
    "decoder_tokens",
    "kv_cache_bytes",
    "kv_full_bytes",
    "kv_codes_bytes",
    "kv_scales_bytes",
    "kv_zeros_bytes",
    "kv_indices_bytes",
    "kv_basis_bytes",
    "kv_window_bytes",
    "kv_exact_bytes",
    "kv_end_bytes",
    "kv_read_bytes",
    "kv_shared_bytes",
    "raw_bytes",
    "png_bytes",
    "png_bytes_after",
    "page_pixels",
    "lossless_bytes",
    "text_brotli_bytes",
    "page_characters",
    "missing_characters",
    "stored_bytes",
    "header_bytes",
    "masks_bytes",
    "indices_bytes",
    "values_bytes",
    "scales_bytes",
    "codebook_bytes",
    "nominal_ratio",
    "codec_stored_bytes",
    "codec_nominal_ratio",
    "token_stored_bytes",
    "token_nominal_ratio",
    *TIMES,
    "encode_flops",
    "compress_flops",
    "prefill_flops",
    "new_tokens",
    "cache_tokens_min",
    "cache_tokens_max",
    "mean_layer_tokens",
    "batch_size",
    "peak_memory_bytes",
    "prompt_tokens",
    "completion_tokens",
    "retries",
    "cost",
)
"""Fields of a record whose means over the scored samples a summary carries under the same names."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """One run in numbers. Depends on the records alone, not on their order or on interruptions.

    compressor: its name; the names of all methods of a combination, joined by "+"; where the model
        was given text, `text` or `text+` and that.
    keep_ratio, keep_tokens, keep_like: see `freqexp.config.budget.Budget`.
    profile: None where the compressor does not use it. options: the compressor's
        settings that differ from their defaults, "name=value" joined by commas.
    samples: how many it is over. samples_asked: how many were asked for; the data set holds fewer
        where `samples` is smaller. failed: those without a score. truncated: scored ones that ran
        into max_new_tokens. cut_off: those of them that were thinking, see `cut_off` of records.
    accuracy: mean official score of the scored samples with its 95 % interval (None below two
        samples), see `freqexp.results.intervals`. prefix_miss_rate: share of their answers without
        the prefix. similarity, chance: means of `Grade`'s.
    right_place_rate ... wrong_needle_rate: what the scores are made of, see `freqexp.results.mix`.
    character_error_rate, pages ... peak_memory_bytes, prompt_tokens ... cost: means over the scored
        samples where measured;
    text_token_ratio: text_tokens over the tokens that stood for the conversation in the decoder's
        sequence, vision_tokens_out or text_tokens_out.
    question, *simulated: as in `Record`. kv_share: kv_cache_bytes over kv_full_bytes.
    *_ms_median: medians of the times.
    bits_per_pixel: of stored_bytes. *_ratio: raw, PNG, lossless and text bytes over stored_bytes.
    delta: mean score minus the baseline's over the `delta_samples` samples scored in both, with its
        95 % interval and the two-sided p value of a paired permutation test.
    """

    run_id: str
    model: str
    compressor: str
    options: str
    keep_ratio: float | None
    profile: str | None
    needles: int
    samples: int
    samples_asked: int
    failed: int
    truncated: int
    cut_off: int = 0
    accuracy: float | None
    accuracy_low: float | None
    accuracy_high: float | None
    prefix_miss_rate: float | None
    later_score: float | None
    similarity: float | None
    chance: float | None
    right_place_rate: float | None
    place_chance: float | None
    copied_share: float | None
    derailed_rate: float | None
    wrong_turn_rate: float | None
    wrong_needle_rate: float | None
    character_error_rate: float | None
    pages: float | None
    text_tokens: float | None
    text_tokens_out: float | None
    text_token_ratio: float | None
    vision_tokens_in: float | None
    vision_tokens_out: float | None
    decoder_tokens: float | None
    question: str | None
    kv_cache_bytes: float | None
    kv_share: float | None
    kv_full_bytes: float | None
    kv_codes_bytes: float | None
    kv_scales_bytes: float | None
    kv_zeros_bytes: float | None
    kv_indices_bytes: float | None
    kv_basis_bytes: float | None
    kv_window_bytes: float | None
    kv_exact_bytes: float | None
    kv_end_bytes: float | None
    kv_read_bytes: float | None
    kv_shared_bytes: float | None
    raw_bytes: float | None
    png_bytes: float | None
    png_bytes_after: float | None
    page_pixels: float | None
    lossless_bytes: float | None
    text_brotli_bytes: float | None
    page_characters: float | None
    missing_characters: float | None
    stored_bytes: float | None
    header_bytes: float | None
    masks_bytes: float | None
    indices_bytes: float | None
    values_bytes: float | None
    scales_bytes: float | None
    codebook_bytes: float | None
    bits_per_pixel: float | None
    raw_ratio: float | None
    png_ratio: float | None
    lossless_ratio: float | None
    text_ratio: float | None
    nominal_ratio: float | None
    simulated: bool | None
    codec_stored_bytes: float | None
    codec_nominal_ratio: float | None
    codec_simulated: bool | None
    token_stored_bytes: float | None
    token_nominal_ratio: float | None
    token_simulated: bool | None
    kv_simulated: bool | None
    render_ms: float | None
    compress_ms: float | None
    codec_ms: float | None
    token_ms: float | None
    kv_ms: float | None
    encode_ms: float | None
    prefill_ms: float | None
    decode_ms: float | None
    decode_token_ms: float | None
    new_tokens: float | None
    cache_tokens_min: float | None
    cache_tokens_max: float | None
    mean_layer_tokens: float | None
    batch_size: float | None
    peak_memory_bytes: float | None
    render_ms_median: float | None = None
    compress_ms_median: float | None = None
    codec_ms_median: float | None = None
    token_ms_median: float | None = None
    kv_ms_median: float | None = None
    encode_ms_median: float | None = None
    prefill_ms_median: float | None = None
    decode_ms_median: float | None = None
    decode_token_ms_median: float | None = None
    encode_flops: float | None = None
    compress_flops: float | None = None
    prefill_flops: float | None = None
    prompt_tokens: float | None = None
    completion_tokens: float | None = None
    retries: float | None = None
    cost: float | None = None
    keep_tokens: int | None = None
    keep_like: str | None = None
    baseline_run_id: str | None = None
    delta_samples: int | None = None
    delta: float | None = None
    delta_low: float | None = None
    delta_high: float | None = None
    p_value: float | None = None


def write_summary(folder: Path, summary: Summary) -> None:
    """Write summary.json atomically. Raises UserError when it cannot be written."""
    value = asdict(summary)
    if read_json(folder / SUMMARY) != value:
        write_json(folder / SUMMARY, value)


def samples_asked(summary: Mapping[str, Any]) -> int:
    """Of how many samples a summary file says what became of them; summaries of before a run could
    grow say it of all.
    """
    return whole(summary.get("samples_asked", summary.get("samples")))


def whole(value: object) -> int:
    """A number of samples in a file; 0 for anything else."""
    return value if isinstance(value, int) else 0


def ended_records(folder: Path, samples: int) -> dict[str, Record] | None:
    """All settled records of a run if it has ended for its first `samples` samples, else None.

    A sample may have failed. Raises UserError for a corrupt record file.
    """
    summary = read_json(folder / SUMMARY)
    if summary is None:
        return None
    records = settle(load_records(folder / RECORDS))
    return records if has_ended(summary, records, samples) else None


def has_ended(summary: Mapping[str, Any], records: Mapping[str, Record], samples: int) -> bool:
    """Whether a run with this summary and these settled records has ended for so many samples.

    A summary is written when every sample asked for has a record, so one
    whose count the records meet proves the end without loading the data, and one of fewer samples
    than were asked for that the data set holds no more.
    """
    asked, held = samples_asked(summary), whole(summary.get("samples"))
    if asked < samples and held == asked:
        return False
    return len(first(records, samples)) == min(samples, held)


def finished_records(folder: Path, samples: int) -> dict[str, Record] | None:
    """`ended_records` if none of the first `samples` samples failed, else None."""
    records = ended_records(folder, samples)
    if records is None or any(r.score is None for r in first(records, samples).values()):
        return None
    return records
