from __future__ import annotations

import json
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import pytest

from freqexp.results.mix import RATES
from freqexp.results.record import Record, settle
from freqexp.results.summarize import Baseline, changed_options, summarize
from freqexp.results.summary import FIGURES, Summary, finished_records, write_summary
from freqexp.schemas.choices import Fit
from freqexp.schemas.codecs import BlockDctConfig
from freqexp.schemas.method import NoneConfig
from freqexp.schemas.tokens import TokenConfig


def record(name: str, score: float | None, **more: Any) -> Record:
    error = "broke" if score is None else None
    return Record(
        sample_id=name, needles=2, bucket="", expected="x", score=score, error=error, **more
    )


RECORDS = [
    record("a", 0.1, prefix_hit=True, encode_ms=None, kv_cache_bytes=10, simulated=False),
    record("b", 0.7, prefix_hit=False, encode_ms=3.0, kv_cache_bytes=20, truncated=True),
    record("c", None, encode_ms=99.0, kv_cache_bytes=99),
    record("d", 0.3, prefix_hit=True, encode_ms=4.0, kv_cache_bytes=60, simulated=True),
]


def test_the_order_of_records_does_not_matter(config: Any) -> None:
    first = summarize(config(), "id", settle(RECORDS))
    assert summarize(config(), "id", settle(RECORDS[::-1])) == first


def test_what_was_not_measured_is_not_zero(config: Any) -> None:
    summary = summarize(config(), "id", settle(RECORDS))
    assert (summary.samples, summary.failed, summary.truncated) == (4, 1, 1)
    assert summary.accuracy == pytest.approx(1.1 / 3)
    assert summary.prefix_miss_rate == pytest.approx(1 / 3)
    assert (summary.encode_ms, summary.kv_cache_bytes, summary.stored_bytes) == (3.5, 30.0, None)
    assert summary.simulated is True


def test_what_scores_are_made_of_is_in_the_summary(config: Any) -> None:
    summary = summarize(config(), "id", settle(RECORDS))
    assert {getattr(summary, name) for name in RATES} == {None}
    apart = [replace(RECORDS[0], copied_share=0.4, derailed=True, right_place=False), *RECORDS[1:]]
    summary = summarize(config(), "id", settle(apart))
    found = [getattr(summary, name) for name in RATES]
    assert found == [0.0, None, 0.4, 1.0, 0.0, 0.0]


def test_every_figure_of_a_record_is_in_the_summary() -> None:
    measured = {f.name for f in fields(Record)} & {f.name for f in fields(Summary)}
    assert set(FIGURES) < measured
    flags = {"truncated", "simulated", "question"}
    flags |= {f"{place}_simulated" for place in ("codec", "token", "kv")}
    parts = {"place_chance", "copied_share"}
    assert measured - set(FIGURES) == {"needles", "similarity", "chance", *parts, *flags}


def test_one_sample_has_no_interval(config: Any) -> None:
    alone = settle(RECORDS[:1])
    summary = summarize(config(), "id", alone, Baseline("base", alone))
    assert (summary.accuracy, summary.accuracy_low, summary.accuracy_high) == (0.1, None, None)
    assert (summary.baseline_run_id, summary.delta_samples, summary.delta) == ("base", 1, None)


def test_the_difference_is_over_samples_scored_in_both(config: Any) -> None:
    base = settle([record("a", 0.0), record("b", None), record("d", 0.1), record("e", 1.0)])
    summary = summarize(config(), "id", settle(RECORDS), Baseline("base", base))
    assert summary.delta_samples == 2
    assert summary.delta == pytest.approx(0.15)
    assert summary.delta_low is not None
    assert summary.delta_high is not None
    assert summary.delta_low <= 0.15 <= summary.delta_high


def test_settings_that_do_nothing_are_not_reported(config: Any) -> None:
    def shown(compressor: Any) -> tuple[Any, ...]:
        summary = summarize(config(compressor=compressor), "id", settle(RECORDS))
        return summary.compressor, summary.options, summary.keep_ratio, summary.profile

    assert shown(NoneConfig()) == ("none", "", None, None)
    assert shown(BlockDctConfig(fit=Fit.resize)) == ("block_dct", "fit=resize", 0.5, None)
    assert shown(TokenConfig()) == ("token", "", 0.5, "aggressive")
    assert shown(TokenConfig(prune=False)) == ("token", "prune=false", None, "aggressive")
    assert changed_options(BlockDctConfig(block=8, fit=Fit.resize)) == "block=8,fit=resize"


def test_a_summary_is_plain_json(config: Any, tmp_path: Path) -> None:
    summary = summarize(config(), "id", settle(RECORDS))
    write_summary(tmp_path, summary)
    assert json.loads((tmp_path / "summary.json").read_text()) == asdict(summary)
    assert [path.name for path in tmp_path.iterdir()] == ["summary.json"]


def test_only_a_whole_run_without_failures_is_finished(config: Any, tmp_path: Path) -> None:
    whole = [RECORDS[0], RECORDS[1], RECORDS[3]]

    def put(records: list[Record], summarized: list[Record]) -> None:
        text = "".join(json.dumps(asdict(item)) + "\n" for item in records)
        (tmp_path / "records.jsonl").write_text(text)
        write_summary(
            tmp_path, summarize(config(samples=len(summarized)), "id", settle(summarized))
        )

    assert finished_records(tmp_path, 3) is None
    put(whole, whole)
    assert finished_records(tmp_path, 3) == settle(whole)
    put(whole[:2], whole)
    assert finished_records(tmp_path, 3) is None
    put(RECORDS, RECORDS)
    assert finished_records(tmp_path, 3) is None
    put(RECORDS, [*whole, record("c", 0.5)])
    assert finished_records(tmp_path, 3) is None
    put(whole, whole)
    (tmp_path / "summary.json").write_text("{")
    assert finished_records(tmp_path, 3) is None
