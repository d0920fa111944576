"""Folders of runs as freqexp.run leaves them, made in milliseconds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from freqexp.benchmarks.samples import load_samples, samples_hash
from freqexp.config.cluster import ClusterConfig
from freqexp.config.run import RunConfig, Tracking
from freqexp.config.saved import to_yaml
from freqexp.results.record import Record
from freqexp.results.summarize import summarize
from freqexp.schemas.choices import Device, Form
from freqexp.schemas.codecs import BlockDctConfig
from freqexp.schemas.method import CompressorConfig, NoneConfig
from freqexp.schemas.model import ModelConfig
from freqexp.schemas.needles import NeedlesConfig
from freqexp.schemas.profile import ProfileConfig
from freqexp.schemas.render import CellsRender
from freqexp.schemas.tokens import TokenConfig

PROFILE = ProfileConfig(
    name="aggressive", bits_low=8, bits_mid=4, bits_high=0, edge_low=4, edge_mid=8
)
CONFIG = RunConfig(
    model=ModelConfig(
        name="fake",
        max_new_tokens=9,
        form=Form.short,
        render=CellsRender(),
        device=Device.cpu,
    ),
    compressor=NoneConfig(),
    profile=PROFILE,
    needles=NeedlesConfig(count=2),
    cluster=ClusterConfig(),
    samples=6,
    tracking=Tracking.off,
)
HOSTILE = (
    "</script><script>document.title='owned'</script><img src=x onerror=alert(1)>\x1b[2J\u202e"
)


def record(sample_id: str, score: float | None, **changes: Any) -> Record:
    values: dict[str, Any] = {
        "needles": 2,
        "bucket": "",
        "expected": f"pre the answer of {sample_id}",
        "score": score,
        "error": None if score is not None else "ValueError: no",
        "prefix_hit": None if score is None else score > 0,
        "similarity": score,
        "chance": 0.25,
        "answer": None if score is None else "pre an answer",
        "truncated": False,
        "pages": 1,
        "vision_tokens_in": 144,
        "vision_tokens_out": 144,
        "decoder_tokens": 166,
        "kv_cache_bytes": 9216 * 166,
        "raw_bytes": 112_896,
        "png_bytes": 6_000,
        "png_bytes_after": 6_000,
        "encode_ms": 70.0,
        "prefill_ms": 50.0,
        "decode_ms": 100.0,
        "simulated": False,
    }
    return Record(sample_id=sample_id, **{**values, **changes})


PARTS = {
    "right_place": True,
    "place_chance": 0.2,
    "place_chars": 1,
    "copied_share": 0.25,
    "derailed": True,
}
"""Further fields of a record whose score was taken apart."""


def cached(share: float = 0.5, question: str | None = "unseen", **changes: Any) -> dict[str, Any]:
    """Further fields of a record whose KV cache was compressed to a share of its bytes."""
    full = 9216 * 166
    held = int(share * full)
    return {
        "question": question,
        "kv_cache_bytes": held,
        "kv_full_bytes": full,
        "kv_exact_bytes": held,
        "kv_simulated": False,
        "mean_layer_tokens": 166.0,
        **changes,
    }


def write_run(
    outputs: Path,
    run_id: str,
    scores: Mapping[str, float | None] | Sequence[float | None],
    compressor: CompressorConfig | None = None,
    *,
    keep_ratio: float = 0.5,
    finished: bool = True,
    config: RunConfig = CONFIG,
    provenance: Mapping[str, Any] | None = None,
    baseline_run_id: str | None = None,
    **changes: Any,
) -> Path:
    """runs/<run_id> with one record a score; `changes` go into each record."""
    if not isinstance(scores, Mapping):
        scores = {f"s{index}": score for index, score in enumerate(scores)}
    folder = outputs / "runs" / run_id
    folder.mkdir(parents=True)
    cfg = replace(
        config,
        compressor=compressor or NoneConfig(),
        keep_ratio=keep_ratio,
        output_dir=str(outputs),
        samples=len(scores),
    )
    records = {key: record(key, score, **changes) for key, score in scores.items()}
    (folder / "config.yaml").write_text(to_yaml(cfg))
    said = {"code_hash": "c", "weights_hash": "w", "data_hash": "d", **(provenance or {})}
    (folder / "provenance.json").write_text(json.dumps(said))
    lines = (json.dumps(asdict(r)) + "\n" for r in records.values())
    (folder / "records.jsonl").write_text("".join(lines))
    if finished:
        summary = {**asdict(summarize(cfg, run_id, records)), "baseline_run_id": baseline_run_id}
        (folder / "summary.json").write_text(json.dumps(summary))
    return folder


def write_sweep(outputs: Path, name: str, run_ids: Sequence[str]) -> Path:
    folder = outputs / "sweeps" / name
    folder.mkdir(parents=True)
    entries = [{"run_id": run_id, "overrides": []} for run_id in run_ids]
    (folder / "sweep.json").write_text(json.dumps({"name": name, "runs": entries}))
    return folder


def write_real(outputs: Path, samples: int = 4) -> list[str]:
    """A sweep of a baseline, a codec and a token compressor on samples that can be drawn again."""
    cfg = replace(CONFIG, samples=samples)
    ids = [s.sample_id for s in load_samples(cfg.needles, samples, cfg.seed)]
    provenance = {"data_hash": samples_hash(cfg.needles)}
    good = {key: 1.0 for key in ids}
    bad = {key: 0.1 if place % 2 else 1.0 for place, key in enumerate(ids)}
    write_run(outputs, "base0000", good, provenance=provenance)
    write_run(
        outputs,
        "codec000",
        good,
        BlockDctConfig(),
        keep_ratio=0.1,
        provenance=provenance,
        png_bytes_after=9_000,
        baseline_run_id="base0000",
    )
    write_run(
        outputs,
        "token000",
        bad,
        TokenConfig(),
        provenance=provenance,
        vision_tokens_out=72,
        answer=HOSTILE,
        baseline_run_id="base0000",
    )
    write_sweep(outputs, "three", ["base0000", "codec000", "token000"])
    return ids
