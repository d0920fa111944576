"""What a record says of an answer's worth."""

from __future__ import annotations

from dataclasses import asdict, fields
from pathlib import Path

import run_fakes

from freqexp.answering.work import graded
from freqexp.benchmarks.mrcr import grade
from freqexp.nouns.sample import Parts
from freqexp.readers.base import Answer
from freqexp.results.record import Record
from freqexp.results.record_file import load_records
from freqexp.running.execute import execute
from freqexp.running.progress import make_progress


def answer(text: str, truncated: bool = False) -> Answer:
    return Answer(
        text=text,
        truncated=truncated,
        vision_tokens_in=1,
        vision_tokens_out=1,
        decoder_tokens=1,
        kv_cache_bytes=1,
        prefill_ms=1.0,
        decode_ms=1.0,
    )


def test_everything_a_score_is_made_of_is_recorded() -> None:
    (sample,) = run_fakes.make_samples(run_fakes.NeedlesConfig(count=2), 1, 0)
    text = sample.prefix + sample.turns[2].assistant
    scored = grade(text, sample)
    found = graded(scored, answer(text), sample)
    assert scored.parts is not None
    parts = asdict(scored.parts)
    assert parts.pop("repeats") is False
    assert {name: found[name] for name in parts} == parts
    assert (found["score"], found["derailed"], found["wrong_turn"]) == (scored.score, False, 2)
    assert found.keys() <= {field.name for field in fields(Record)}
    assert graded(scored, answer(text, truncated=True), sample)["derailed"] is True


def test_a_simple_grader_leaves_them_unmeasured() -> None:
    (sample,) = run_fakes.make_samples(run_fakes.NeedlesConfig(count=2), 1, 0)
    found = graded(run_fakes.fake_grade("pre", sample), answer("pre", truncated=True), sample)
    assert not found.keys() & {"derailed", *(field.name for field in fields(Parts))}


def test_a_run_s_records_and_summary_have_them(tmp_path: Path) -> None:
    counting = run_fakes.Counting()
    session = counting.session(grade=grade)
    summary = execute(run_fakes.make_config(str(tmp_path)), session, make_progress())
    records = load_records(tmp_path / "runs" / summary.run_id / "records.jsonl")
    assert [record.prefix for record in records] == [f"pre{index}" for index in range(6)]
    assert all(record.copied_share is not None for record in records)
    assert (summary.right_place_rate, summary.derailed_rate) == (None, 0.0)
    assert summary.prefix_miss_rate == 1
