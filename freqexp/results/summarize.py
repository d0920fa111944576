"""What the records of one run say together, and beside the uncompressed baseline."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass
from enum import Enum
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from freqexp.config.budget import acting_budget
from freqexp.config.title import title_of
from freqexp.results.intervals import changes, interval, scores
from freqexp.results.mix import rates
from freqexp.results.record import Record, cut_off, first, mean, median
from freqexp.results.stats import permutation_p_value
from freqexp.results.summary import FIGURES, MEDIANS, TIMES, Summary
from freqexp.schemas.method import DRAWS, CompressorConfig

if TYPE_CHECKING:
    from freqexp.config.run import RunConfig


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
    unshown = config.unshown if isinstance(config, CompressorConfig) else ()
    for item in fields(config):  # type: ignore[arg-type]
        default = item.default_factory() if item.default_factory is not MISSING else item.default
        value = getattr(config, item.name)
        if is_dataclass(value):
            changes.append(changed_options(value, f"{prefix}{item.name}."))
        elif item.name not in ("name", DRAWS, *unshown) and value != default:
            shown = value.name if isinstance(value, Enum) else value
            shown = str(shown).lower() if isinstance(shown, bool) else shown
            shown = PurePath(shown).name if item.name in ("weights", "prior") else shown
            if isinstance(shown, list) and all(isinstance(word, str) for word in shown):
                shown = " ".join(PurePath(word).name for word in shown)
            changes.append(f"{prefix}{item.name}={shown}")
    return ",".join(filter(None, changes))


def options_of(cfg: RunConfig) -> str:
    """The compressor's settings that differ from their defaults, and the last name of the folder of
    an adapter: an adapted reader is compared with its own controls, and with the one it was.
    """
    adapter = cfg.model.adapter
    found = [changed_options(cfg.compressor), adapter and f"adapter={PurePath(adapter).name}"]
    return ",".join(filter(None, found))


def _identity(cfg: RunConfig, run_id: str) -> dict[str, Any]:
    compressor = cfg.compressor
    return {
        "run_id": run_id,
        "model": cfg.model.name,
        "compressor": title_of(cfg),
        "options": options_of(cfg),
        **asdict(acting_budget(cfg)),
        "profile": cfg.profile.name if compressor.uses_profile else None,
        "needles": cfg.needles.count,
    }


def _accuracy(found: Sequence[float]) -> dict[str, Any]:
    low, high = interval(scores(found)) if len(found) > 1 else (None, None)
    return {"accuracy": mean(found), "accuracy_low": low, "accuracy_high": high}


def _difference(scored: Sequence[Record], baseline: Baseline | None) -> dict[str, Any]:
    if baseline is None:
        return {}
    pairs = []
    for record in scored:
        other = baseline.records.get(record.sample_id)
        if record.score is not None and other is not None and other.score is not None:
            pairs.append((record.score, other.score))
    found: dict[str, Any] = {"baseline_run_id": baseline.run_id, "delta_samples": len(pairs)}
    if len(pairs) > 1:
        differences = changes([ours for ours, _ in pairs], [base for _, base in pairs])
        low, high = interval(differences)
        found.update(
            delta=mean(differences.values),
            delta_low=low,
            delta_high=high,
            p_value=permutation_p_value(differences.values),
        )
    return found


def _only(values: Iterable[str | None]) -> str | None:
    """The one value there is; None without one, and of several."""
    known = {value for value in values if value is not None}
    return known.pop() if len(known) == 1 else None


def _any(flags: Iterable[bool | None]) -> bool | None:
    """Whether one is true; None when none is known."""
    known = [flag for flag in flags if flag is not None]
    return any(known) if known else None


def token_ratio(figures: Mapping[str, float | None]) -> float | None:
    """Tokens of the conversation as text over those that stood for it, vision or text tokens."""
    text, pages = figures.get("text_tokens"), figures.get("vision_tokens_out")
    seen = figures.get("text_tokens_out") or pages
    return text / seen if text is not None and seen else None


def _ratios(figures: Mapping[str, float | None]) -> dict[str, Any]:
    """What is stored beside what could be stored instead: ratios of means."""
    stored, pixels = figures["stored_bytes"], figures["page_pixels"]
    found = {"bits_per_pixel": 8 * stored / pixels if stored and pixels else None}
    for name in ("raw", "png", "lossless", "text"):
        other = figures["text_brotli_bytes" if name == "text" else f"{name}_bytes"]
        found[f"{name}_ratio"] = other / stored if stored and other is not None else None
    found["text_token_ratio"] = token_ratio(figures)
    held, full = figures["kv_cache_bytes"], figures["kv_full_bytes"]
    found["kv_share"] = held / full if full and held is not None else None
    return found


def summarize(
    cfg: RunConfig, run_id: str, records: Mapping[str, Record], baseline: Baseline | None = None
) -> Summary:
    """Summary of a run over its first `cfg.samples` samples, of which each has a record.

    records: as `settle` gives them; those of further samples are left out.
    """
    records = first(records, cfg.samples)
    scored = [record for record in records.values() if record.score is not None]
    figures: dict[str, Any] = {
        name: mean(getattr(record, name) for record in scored) for name in FIGURES
    }
    parts: dict[str, Any] = {**rates(scored)}
    medians: dict[str, Any] = {
        into: median(getattr(record, name) for record in scored)
        for name, into in zip(TIMES, MEDIANS, strict=True)
    }
    return Summary(
        **_identity(cfg, run_id),
        samples=len(records),
        samples_asked=cfg.samples,
        failed=len(records) - len(scored),
        truncated=sum(bool(record.truncated) for record in scored),
        cut_off=sum(cut_off(record, cfg.model.answer_after) for record in scored),
        **_accuracy([record.score for record in scored if record.score is not None]),
        prefix_miss_rate=mean(float(not record.prefix_hit) for record in scored),
        similarity=mean(record.similarity for record in scored),
        chance=mean(record.chance for record in scored),
        **parts,
        **figures,
        **_ratios(figures),
        **medians,
        simulated=_any(record.simulated for record in scored),
        codec_simulated=_any(record.codec_simulated for record in scored),
        token_simulated=_any(record.token_simulated for record in scored),
        kv_simulated=_any(record.kv_simulated for record in scored),
        question=_only(record.question for record in scored),
        **_difference(scored, baseline),
    )
