"""What the records of one run say together, and beside the uncompressed baseline."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freqexp.files import read_json, write_json
from freqexp.results.record import RECORDS, Record, load_records, mean, settle
from freqexp.results.stats import bootstrap_mean_ci, paired_bootstrap

if TYPE_CHECKING:
    from freqexp.config.run import RunConfig

SUMMARY = "summary.json"

TIMES = (
    "render_ms",
    "compress_ms",
    "codec_ms",
    "token_ms",
    "encode_ms",
    "prefill_ms",
    "decode_ms",
)
"""Figures that differ from one machine or start to the next, as does the peak memory."""

FIGURES = (
    "character_error_rate",
    "pages",
    "vision_tokens_in",
    "vision_tokens_out",
    "decoder_tokens",
    "kv_cache_bytes",
    "raw_bytes",
    "png_bytes",
    "png_bytes_after",
    "page_pixels",
    "lossless_bytes",
    "text_brotli_bytes",
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
    "new_tokens",
    "cache_tokens_min",
    "cache_tokens_max",
    "batch_size",
    "peak_memory_bytes",
)
"""Fields of a record whose means over the scored samples a summary carries under the same names."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """One run in numbers. Depends on the records alone, not on their order or on interruptions.

    compressor: its name; the names of all methods of a combination, joined by "+".
    keep_ratio, profile: None where the compressor does not use them. options: the compressor's
        settings that differ from their defaults, "name=value" joined by commas.
    samples: in the data set. failed: those without a score. truncated: scored ones that ran into
        max_new_tokens.
    accuracy: mean official score of the scored samples with its 95 % bootstrap interval (None below
        two samples). prefix_miss_rate: share of their answers without the prefix. similarity,
        chance: means of `Grade`'s.
    character_error_rate, pages ... peak_memory_bytes: means over the scored samples where measured;
    *simulated: as in `Record`.
    bits_per_pixel: of stored_bytes. *_ratio: raw, PNG, lossless and text bytes over stored_bytes.
    delta: mean score minus the baseline's over the `delta_samples` samples scored in both, with the
        95 % paired bootstrap interval and its two-sided p value.
    """

    run_id: str
    model: str
    compressor: str
    options: str
    keep_ratio: float | None
    profile: str | None
    needles: int
    samples: int
    failed: int
    truncated: int
    accuracy: float | None
    accuracy_low: float | None
    accuracy_high: float | None
    prefix_miss_rate: float | None
    similarity: float | None
    chance: float | None
    character_error_rate: float | None
    pages: float | None
    vision_tokens_in: float | None
    vision_tokens_out: float | None
    decoder_tokens: float | None
    kv_cache_bytes: float | None
    raw_bytes: float | None
    png_bytes: float | None
    png_bytes_after: float | None
    page_pixels: float | None
    lossless_bytes: float | None
    text_brotli_bytes: float | None
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
    render_ms: float | None
    compress_ms: float | None
    codec_ms: float | None
    token_ms: float | None
    encode_ms: float | None
    prefill_ms: float | None
    decode_ms: float | None
    new_tokens: float | None
    cache_tokens_min: float | None
    cache_tokens_max: float | None
    batch_size: float | None
    peak_memory_bytes: float | None
    baseline_run_id: str | None = None
    delta_samples: int | None = None
    delta: float | None = None
    delta_low: float | None = None
    delta_high: float | None = None
    p_value: float | None = None


@dataclass(frozen=True)
class Baseline:
    """The uncompressed run that another one is compared with."""

    run_id: str
    records: Mapping[str, Record]


def changed_options(config: object, prefix: str = "") -> str:
    """Settings of a configuration that differ from their defaults, as "name=value,...".

    Those of a part of it as "part.name=value": beside the part's own defaults.
    """
    changes = []
    for item in fields(config):  # type: ignore[arg-type]
        default = item.default_factory() if item.default_factory is not MISSING else item.default
        value = getattr(config, item.name)
        if is_dataclass(value):
            changes.append(changed_options(value, f"{prefix}{item.name}."))
        elif item.name != "name" and value != default:
            shown = value.name if isinstance(value, Enum) else value
            shown = str(shown).lower() if isinstance(shown, bool) else shown
            changes.append(f"{prefix}{item.name}={shown}")
    return ",".join(filter(None, changes))


def _identity(cfg: RunConfig, run_id: str) -> dict[str, Any]:
    compressor = cfg.compressor
    return {
        "run_id": run_id,
        "model": cfg.model.name,
        "compressor": compressor.title,
        "options": changed_options(compressor),
        "keep_ratio": cfg.keep_ratio if compressor.uses_keep_ratio else None,
        "profile": cfg.profile.name if compressor.uses_profile else None,
        "needles": cfg.needles.count,
    }


def _accuracy(scores: Sequence[float], seed: int) -> dict[str, Any]:
    low, high = bootstrap_mean_ci(scores, seed) if len(scores) > 1 else (None, None)
    return {"accuracy": mean(scores), "accuracy_low": low, "accuracy_high": high}


def _difference(scored: Sequence[Record], baseline: Baseline | None, seed: int) -> dict[str, Any]:
    if baseline is None:
        return {}
    pairs = []
    for record in scored:
        other = baseline.records.get(record.sample_id)
        if record.score is not None and other is not None and other.score is not None:
            pairs.append((record.score, other.score))
    found: dict[str, Any] = {"baseline_run_id": baseline.run_id, "delta_samples": len(pairs)}
    if len(pairs) > 1:
        names = ("delta", "delta_low", "delta_high", "p_value")
        values = paired_bootstrap([ours for ours, _ in pairs], [base for _, base in pairs], seed)
        found.update(zip(names, values, strict=True))
    return found


def _any(flags: Iterable[bool | None]) -> bool | None:
    """Whether one is true; None when none is known."""
    known = [flag for flag in flags if flag is not None]
    return any(known) if known else None


def _ratios(figures: Mapping[str, float | None]) -> dict[str, Any]:
    """What is stored beside what could be stored instead: ratios of means."""
    stored, pixels = figures["stored_bytes"], figures["page_pixels"]
    found = {"bits_per_pixel": 8 * stored / pixels if stored and pixels else None}
    for name in ("raw", "png", "lossless", "text"):
        other = figures["text_brotli_bytes" if name == "text" else f"{name}_bytes"]
        found[f"{name}_ratio"] = other / stored if stored and other is not None else None
    return found


def summarize(
    cfg: RunConfig, run_id: str, records: Mapping[str, Record], baseline: Baseline | None = None
) -> Summary:
    """Summary of a run whose every sample has a record; `records` as `settle` gives them."""
    scored = [record for record in records.values() if record.score is not None]
    figures: dict[str, Any] = {
        name: mean(getattr(record, name) for record in scored) for name in FIGURES
    }
    return Summary(
        **_identity(cfg, run_id),
        samples=len(records),
        failed=len(records) - len(scored),
        truncated=sum(bool(record.truncated) for record in scored),
        **_accuracy([record.score for record in scored if record.score is not None], cfg.seed),
        prefix_miss_rate=mean(float(not record.prefix_hit) for record in scored),
        similarity=mean(record.similarity for record in scored),
        chance=mean(record.chance for record in scored),
        **figures,
        **_ratios(figures),
        simulated=_any(record.simulated for record in scored),
        codec_simulated=_any(record.codec_simulated for record in scored),
        token_simulated=_any(record.token_simulated for record in scored),
        **_difference(scored, baseline, cfg.seed),
    )


def write_summary(folder: Path, summary: Summary) -> None:
    """Write summary.json atomically. Raises UserError when it cannot be written."""
    value = asdict(summary)
    if read_json(folder / SUMMARY) != value:
        write_json(folder / SUMMARY, value)


def finished_records(folder: Path) -> dict[str, Record] | None:
    """The settled records of a run that is complete without a failure, else None.

    A summary is written only when every sample of the data set has a record, so one without
    failures whose count the records meet proves completeness without loading the data. Raises
    UserError for a corrupt record file.
    """
    summary = read_json(folder / SUMMARY)
    if summary is None or summary.get("failed") != 0:
        return None
    records = settle(load_records(folder / RECORDS))
    complete = len(records) == summary.get("samples") and all(
        r.score is not None for r in records.values()
    )
    return records if complete else None
