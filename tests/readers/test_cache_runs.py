"""Whole runs with compressed KV caches on the bundled reader, and on GLM-4V-9B's interface."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import glm4v_remote_checkpoint as ckpt
import pytest
import torch

from freqexp.answering import page_stage
from freqexp.answering.session import Session
from freqexp.composing.compose import collect
from freqexp.errors import UserError
from freqexp.nouns.cache import CACHE_COMPONENTS
from freqexp.results.record import Record
from freqexp.results.record_file import load_records
from freqexp.results.summary import Summary
from freqexp.running.sweep import run_points


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def run(folder: Path, *overrides: str) -> list[tuple[Summary, list[Record]]]:
    more = ["samples=2", "tracking=off", f"output_dir={folder}", "needles.form=short"]
    points = collect(["-m", *overrides, *more])
    found = run_points([point.config for point in points], lambda cfg: (), session=Session())
    return [(s, load_records(folder / "runs" / s.run_id / "records.jsonl")) for s in found]


def check_bytes(record: Record) -> None:
    """What was alive is what the components sum to."""
    parts = [getattr(record, f"kv_{name}_bytes") for name in CACHE_COMPONENTS]
    assert record.error is None
    assert record.kv_cache_bytes == sum(parts)
    assert record.kv_full_bytes is not None
    assert record.kv_end_bytes is not None


def test_bytes_and_tokens_of_every_sample(tmp_path: Path) -> None:
    methods = "snapkv,keydiff,sink_recent,dct_outlier,kivi,low_rank,fp8"
    both = run(tmp_path, f"compressor={methods}", "compressor.question=unseen,seen")
    assert len(both) == 15
    (baseline, plain), *others = both
    whole = {record.sample_id: record for record in plain}
    assert (baseline.kv_share, baseline.question) == (1.0, None)
    for summary, records in others:
        assert summary.failed == 0
        assert summary.question in ("seen", "unseen")
        assert summary.kv_simulated is False
        for record in records:
            check_bytes(record)
            other = whole[record.sample_id]
            assert record.question == summary.question
            assert record.kv_full_bytes == other.kv_cache_bytes
            assert record.kv_cache_bytes < record.kv_full_bytes  # type: ignore[operator]
            assert record.decoder_tokens == other.decoder_tokens == record.mean_layer_tokens
            assert record.later_score is not None
            assert (record.kv_ms is None) == (summary.compressor == "fp8")
            assert record.compress_ms == record.kv_ms
            evicts = summary.compressor in ("snapkv", "keydiff", "sink_recent", "dct_outlier")
            fewer = record.cache_tokens_max < record.decoder_tokens  # type: ignore[operator]
            assert fewer == evicts
        share = summary.kv_cache_bytes / summary.kv_full_bytes  # type: ignore[operator]
        assert summary.kv_share == pytest.approx(share)


def test_three_places_in_one_run(tmp_path: Path) -> None:
    *_, (summary, records) = run(
        tmp_path, "compressor=combined", "codec=png", "token=blank_prune", "kv=kivi"
    )
    assert summary.compressor == "png+blank_prune+kivi"
    for record in records:
        check_bytes(record)
        assert record.vision_tokens_out < record.vision_tokens_in  # type: ignore[operator]
        assert record.kv_codes_bytes
        assert (record.codec_ms is None, record.token_ms is None) == (False, False)
        parts = [record.codec_ms, record.token_ms, record.kv_ms]
        assert record.compress_ms == pytest.approx(sum(parts))  # type: ignore[arg-type]


def test_a_batch_of_the_run_is_its_samples(tmp_path: Path) -> None:
    for question in ("seen", "unseen"):
        said = ("compressor=keydiff", f"compressor.question={question}", "baseline=false")
        (_, alone), (_, together) = (
            run(tmp_path / str(size), *said, f"model.batch_size={size}")[0] for size in (1, 2)
        )
        assert {record.batch_size for record in together} == {2}
        by_id = {record.sample_id: record for record in alone}
        for record in together:
            other = by_id[record.sample_id]
            assert record.answer == other.answer
            assert record.kv_cache_bytes == other.kv_cache_bytes
            assert record.kv_exact_bytes == other.kv_exact_bytes
            # Alone nothing is copied; together rows are put beside each other.
            assert other.kv_read_bytes == 0
            assert record.kv_read_bytes > 0  # type: ignore[operator]


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("compressor=snapkv", "compressor.window=5000"), "compressor.window: got 5000"),
        (("compressor=snapkv", "keep_ratio=0.01"), "at least the 16"),
        (("compressor=keydiff", "keep_tokens=9999"), "keep_tokens: got 9999"),
        (("compressor=kivi", "compressor.group=20", "compressor.residual=20"),
         "compressor.group: got 20"),
    ],
)  # fmt: skip
def test_settings_that_no_prompt_meets_end_the_run_first(
    tmp_path: Path, overrides: tuple[str, ...], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        run(tmp_path, *overrides, "baseline=false")
    assert all(not file.read_text() for file in tmp_path.rglob("records*.jsonl"))


def test_a_warm_up_over_fewer_pages_refuses_no_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two pages, one is read beforehand; the budget is more than it has tokens."""
    monkeypatch.setattr(page_stage, "WARM_UP_PAGES", 1)
    ((summary, records),) = run(tmp_path, "compressor=keydiff", "keep_tokens=200", "baseline=false")
    assert summary.failed == 0
    assert {record.pages for record in records} == {2}


@pytest.fixture
def code_cache(tmp_path: Path) -> Iterator[Path]:
    with ckpt.code_cache_in(tmp_path / "modules") as folder:
        yield folder


@pytest.mark.usefixtures("code_cache")
def test_glm_4v_9b(tmp_path: Path) -> None:
    """With everything kept the answers are those of no compression; every method that looks at one
    layer runs, alone and in a batch.
    """
    folder = tmp_path / "checkpoint"
    ckpt.build_checkpoint(folder)
    model = [
        *("model.family=glm4v_remote", f"model.path={folder}", "model.trust_remote_code=true"),
        *("model.max_new_tokens=4", "model.render.rows=40", "model.render.columns=40"),
    ]
    for size in (1, 2):
        said = [*model, f"model.batch_size={size}", "compressor.question=unseen,seen"]
        (_, plain), *whole = run(tmp_path / f"a{size}", "compressor=keydiff", "keep_ratio=1", *said)
        expected = [record.raw_answer or record.answer for record in plain]
        for _, records in whole:
            assert [record.raw_answer or record.answer for record in records] == expected
            assert [r.kv_cache_bytes for r in records] == [r.kv_cache_bytes for r in plain]
        methods = "compressor=keydiff,dct_outlier,sink_recent,kivi,low_rank"
        _, *others = run(tmp_path / f"b{size}", methods, "keep_ratio=0.5", *said)
        assert len(others) == 10
        for summary, records in others:
            assert summary.failed == 0
            for record in records:
                check_bytes(record)
                assert record.kv_cache_bytes < record.kv_full_bytes or (  # type: ignore[operator]
                    summary.compressor == "kivi"
                )
