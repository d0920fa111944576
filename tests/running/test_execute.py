from __future__ import annotations

import io
import json
import random
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import run_fakes
import torch
from run_fakes import Counting, without_times

from freqexp.answering.session import Session
from freqexp.answering.work import PageImages
from freqexp.config.run import RunConfig
from freqexp.config.saved import from_yaml
from freqexp.errors import UserError
from freqexp.nouns.page import png_size_bytes
from freqexp.results.record import Record
from freqexp.results.record_file import load_records
from freqexp.results.summary import Summary
from freqexp.running.execute import baseline_of, execute, execute_share, run_folder
from freqexp.running.progress import Lines
from freqexp.running.shares import Share
from freqexp.schemas.codecs import BlockDctConfig
from freqexp.schemas.method import NoneConfig
from freqexp.schemas.needles import NeedlesConfig
from freqexp.schemas.tokens import TokenConfig

IDS = [f"sample-{number:03d}" for number in range(6, 0, -1)]


def run(cfg: RunConfig, session: Session, observers: Any = ()) -> Summary:
    return execute(cfg, session, Lines(io.StringIO()), observers)


def folder_of(cfg: RunConfig) -> Path:
    return run_folder(cfg, run_fakes.fake_run_id(cfg))


def records_of(cfg: RunConfig) -> dict[str, Record]:
    return {record.sample_id: record for record in load_records(folder_of(cfg) / "records.jsonl")}


class Watcher:
    def __init__(self) -> None:
        self.seen: list[Any] = []

    def on_start(self, cfg: RunConfig, folder: Path) -> None:
        assert (folder / "config.yaml").exists()
        assert (folder / "provenance.json").exists()
        self.seen.append("start")

    def on_record(self, record: Record, images: PageImages | None) -> None:
        self.seen.append((record.sample_id, images))

    def on_end(self, summary: Summary | None) -> None:
        self.seen.append(summary)


def test_a_run_leaves_its_files(config: Any, counting: Counting) -> None:
    cfg = config()
    summary = run(cfg, counting.session())
    folder = folder_of(cfg)
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.yaml",
        "provenance.json",
        "records.jsonl",
        "summary.json",
    ]
    assert json.loads((folder / "summary.json").read_text()) == asdict(summary)
    assert [record.sample_id for record in load_records(folder / "records.jsonl")] == IDS
    assert from_yaml(folder / "config.yaml") == cfg
    assert summary.samples == 6
    assert summary.failed == 0
    scores = [record.score for record in records_of(cfg).values()]
    assert summary.accuracy == pytest.approx(np.mean(scores))
    assert summary.accuracy_low < summary.accuracy < summary.accuracy_high  # type: ignore[operator]
    assert summary.prefix_miss_rate == pytest.approx(2 / 6)
    assert summary.chance == 0.25
    assert summary.truncated == 1


def test_faults_are_counted_where_samples_come_from_files(config: Any, counting: Counting) -> None:
    def provenance(cfg: RunConfig) -> dict[str, Any]:
        run(cfg, counting.session())
        return dict(json.loads((folder_of(cfg) / "provenance.json").read_text()))

    assert "data_faults" not in provenance(config(samples=1))
    found = provenance(config(samples=2, needles=NeedlesConfig(count=2, path="x.json")))
    counted = {"samples": 2, "faulty": 2, "other_count": 2, "no_reply": 0, "repeated": 0}
    assert found["data_faults"] == {**counted, "other_place": 0}


def test_the_baseline_measures_what_it_sees(config: Any, counting: Counting) -> None:
    cfg = config()
    run(cfg, counting.session())
    record = records_of(cfg)["sample-006"]
    pages = [counting.reader.encoded[0]]
    assert record.pages == 1
    assert record.raw_bytes == pages[0].nbytes
    assert record.png_bytes == record.png_bytes_after == png_size_bytes(pages[0])
    assert record.vision_tokens_in == record.vision_tokens_out == pages[0].size // 784
    assert (record.compress_ms, record.nominal_ratio, record.stored_bytes) == (None, None, None)
    assert record.simulated is False
    assert (record.prefill_ms, record.decode_ms) == (1.5, 2.5)
    assert record.render_ms is not None
    assert record.render_ms > 0
    assert record.encode_ms is not None
    assert record.encode_ms > 0
    assert record.peak_memory_bytes is None or record.peak_memory_bytes > 1 << 20


def test_a_codec_acts_before_the_encoder(config: Any, counting: Counting) -> None:
    cfg = config(compressor=BlockDctConfig(), keep_ratio=0.1, samples=1)
    watcher = Watcher()
    run(cfg, counting.session(), [watcher])
    images = watcher.seen[1][1]
    expected = BlockDctConfig().build(0.1, cfg.profile).compress(images.before[0]).pixels
    assert np.array_equal(images.after[0], expected)
    assert np.array_equal(counting.reader.encoded[0], expected)
    assert not np.array_equal(expected, images.before[0])
    record = records_of(cfg)["sample-006"]
    assert record.png_bytes == png_size_bytes(images.before[0])
    assert record.png_bytes_after == png_size_bytes(expected)
    assert record.nominal_ratio == pytest.approx(10, rel=0.05)
    data = BlockDctConfig().build(0.1, cfg.profile).encode(images.before[0])
    assert record.stored_bytes == len(data)
    parts = (record.header_bytes, record.masks_bytes, record.values_bytes, record.scales_bytes)
    assert sum(part or 0 for part in parts) == len(data)
    assert (record.indices_bytes, record.codebook_bytes) == (0, 0)
    assert record.simulated is False
    assert record.compress_ms is not None
    summary = json.loads((folder_of(cfg) / "summary.json").read_text())
    assert record.lossless_bytes is not None
    assert record.page_pixels is not None
    assert summary["lossless_ratio"] == record.lossless_bytes / len(data)
    assert summary["bits_per_pixel"] == 8 * len(data) / record.page_pixels


def test_a_token_compressor_acts_after_the_encoder(config: Any, counting: Counting) -> None:
    cfg = config(compressor=TokenConfig(), keep_ratio=0.5, samples=1)
    watcher = Watcher()
    run(cfg, counting.session(), [watcher])
    images = watcher.seen[1][1]
    assert np.array_equal(images.after[0], images.before[0])
    record = records_of(cfg)["sample-006"]
    assert record.vision_tokens_out == record.vision_tokens_in // 2  # type: ignore[operator]
    assert record.kv_cache_bytes == 64 * (record.vision_tokens_out + 5)  # type: ignore[operator]
    assert record.png_bytes == record.png_bytes_after
    assert record.compress_ms is not None


def test_a_failed_sample_is_recorded_counted_and_tried_again(
    config: Any, counting: Counting
) -> None:
    cfg = config()
    counting.reader.broken = {"sample-002", "sample-005"}
    summary = run(cfg, counting.session())
    assert (summary.samples, summary.failed) == (6, 2)
    record = records_of(cfg)["sample-002"]
    assert record.score is None
    assert record.error is not None
    assert record.error.startswith("RuntimeError: no answer to sample-002 (run_fakes.py:")
    assert record.pages == 1
    assert record.kv_cache_bytes is None
    scores = [r.score for r in records_of(cfg).values() if r.score is not None]
    assert summary.accuracy == pytest.approx(sum(scores) / 4)

    counting.reader.broken = {"sample-005"}
    answered: list[str] = []
    counting.reader.on_answer = answered.append
    assert run(cfg, counting.session()).failed == 1
    counting.reader.broken = set()
    repaired = run(cfg, counting.session())
    assert answered == ["sample-005", "sample-002", "sample-005"]
    assert repaired.failed == 0

    whole = config(output_dir=cfg.output_dir + "2")
    assert without_times(asdict(run(whole, counting.session()))) == without_times(asdict(repaired))


def test_a_run_of_failures_only_is_an_error(config: Any, counting: Counting) -> None:
    cfg = config()
    counting.reader.broken = set(IDS)
    watcher = Watcher()
    with pytest.raises(UserError, match=r"all 6 samples failed; the first: .*sample-001"):
        run(cfg, counting.session(), [watcher])
    summary = json.loads((folder_of(cfg) / "summary.json").read_text())
    assert (summary["failed"], summary["accuracy"], summary["simulated"]) == (6, None, None)
    assert watcher.seen[-1].failed == 6


def test_an_interrupted_run_continues_to_the_same_summary(config: Any, counting: Counting) -> None:
    cfg = config()

    def interrupt(name: str) -> None:
        if name == "sample-004":
            raise KeyboardInterrupt

    counting.reader.on_answer = interrupt
    watcher = Watcher()
    with pytest.raises(KeyboardInterrupt):
        run(cfg, counting.session(), [watcher])
    assert [seen for seen in watcher.seen if seen is None] == [None]
    assert list(records_of(cfg)) == ["sample-006", "sample-005"]
    assert not (folder_of(cfg) / "summary.json").exists()

    answered: list[str] = []
    counting.reader.on_answer = answered.append
    resumed = run(cfg, counting.session())
    assert answered == ["sample-004", "sample-003", "sample-002", "sample-001"]
    whole = config(output_dir=cfg.output_dir + "2")
    assert without_times(asdict(run(whole, counting.session()))) == without_times(asdict(resumed))


def test_a_complete_run_loads_nothing(config: Any, counting: Counting) -> None:
    cfg = config()
    first = run(cfg, counting.session())
    before = {path: path.stat().st_mtime_ns for path in folder_of(cfg).iterdir()}
    watcher = Watcher()
    again = Counting()
    assert run(cfg, again.session(), [watcher]) == first
    assert (again.loaded, again.data_loaded, watcher.seen) == ([], 0, [])
    assert {path: path.stat().st_mtime_ns for path in folder_of(cfg).iterdir()} == before


def test_a_run_killed_before_its_summary_needs_no_model(config: Any, counting: Counting) -> None:
    cfg = config()
    first = run(cfg, counting.session())
    (folder_of(cfg) / "summary.json").unlink()
    assert run(cfg, counting.session()) == first
    assert counting.loaded == ["fake"]


def test_records_that_went_missing_are_computed_again(config: Any, counting: Counting) -> None:
    cfg = config()
    first = run(cfg, counting.session())
    path = folder_of(cfg) / "records.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2])[:-9])
    answered: list[str] = []
    counting.reader.on_answer = answered.append
    again = run(cfg, counting.session())
    assert len(answered) == 5
    assert without_times(asdict(again)) == without_times(asdict(first))


def test_a_record_of_another_data_set_is_refused(config: Any, counting: Counting) -> None:
    cfg = config()
    run(cfg, counting.session())
    path = folder_of(cfg) / "records.jsonl"
    data = path.read_bytes() + path.read_bytes().splitlines(keepends=True)[0].replace(
        b"sample-006", b"sample-999"
    )
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"records\.jsonl, line 7: sample 'sample-999' is not in"):
        run(cfg, counting.session())
    assert path.read_bytes() == data


def test_an_empty_data_set_is_refused(config: Any, counting: Counting) -> None:
    counting.samples = lambda needles, samples, seed: []
    with pytest.raises(UserError, match="holds no samples"):
        run(config(), counting.session())


def test_a_model_that_cannot_be_loaded_starts_nothing(config: Any, counting: Counting) -> None:
    def refuse(model: Any) -> Any:
        raise UserError("model.path: no weights")

    watcher = Watcher()
    with pytest.raises(UserError, match="no weights"):
        run(config(), counting.session(reader=refuse), [watcher])
    assert watcher.seen == []


def test_a_run_is_compared_with_its_baseline(config: Any, counting: Counting) -> None:
    cfg = config(compressor=TokenConfig(), keep_ratio=0.5)
    base = baseline_of(cfg)
    assert base is not None
    session = counting.session()
    alone = run(cfg, session)
    assert (alone.baseline_run_id, alone.delta) == (None, None)
    run(base, session)
    compared = run(cfg, counting.session())
    assert compared.baseline_run_id == run_fakes.fake_run_id(base)
    assert compared.delta == 0.0
    assert compared.delta_samples == 6
    assert compared.p_value == 1.0
    assert baseline_of(base) is None


def test_only_common_samples_are_compared(config: Any, counting: Counting) -> None:
    cfg = config(compressor=TokenConfig())
    run(config(), counting.session())
    counting.reader.broken = {"sample-001"}
    assert run(cfg, counting.session()).delta_samples == 5


def test_token_points_share_encodings_to_the_bit(config: Any, counting: Counting) -> None:
    session = counting.session()
    run(config(), session)
    shared = config(compressor=TokenConfig(quantize=False, transform=False), keep_ratio=1.0)
    run(shared, session)
    assert len(counting.reader.encoded) == 6
    assert all(record.encode_ms is None for record in records_of(shared).values())
    assert all(record.render_ms is None for record in records_of(shared).values())
    own, others = counting.reader.features[:6], counting.reader.features[6:]
    for first, second in zip(own, others, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    run(config(compressor=BlockDctConfig(), keep_ratio=0.05), session)
    assert len(counting.reader.encoded) == 12


def test_two_processes_do_not_share_a_run(config: Any, counting: Counting) -> None:
    """The second one waits, and takes what the first one has answered."""
    cfg = config()
    found: list[Summary] = []
    said = io.StringIO()
    other = Counting()
    asked: list[str] = []
    other.reader.on_answer = asked.append

    def wait() -> None:
        found.append(execute(cfg, other.session(), Lines(said)))

    second = threading.Thread(target=wait)

    def start(name: str) -> None:
        if name == "sample-001":
            second.start()
            while "waiting for it" not in said.getvalue():
                time.sleep(0.01)

    counting.reader.on_answer = start
    first = run(cfg, counting.session())
    second.join()
    assert found == [first]
    assert asked == []


def test_patience_has_an_end(config: Any, counting: Counting) -> None:
    cfg = config()

    def second(name: str) -> None:
        share = Share()
        share.patience_s = 0.0
        with pytest.raises(UserError, match="another process is working on this run"):
            execute_share(cfg, Counting().session(), Lines(io.StringIO()), [], share)

    counting.reader.on_answer = second
    assert run(cfg, counting.session()).failed == 0


@pytest.mark.slow
def test_kill_9_at_any_moment_changes_nothing(tmp_path: Path, counting: Counting) -> None:
    command = [sys.executable, run_fakes.__file__, str(tmp_path / "killed"), "20", "0.03"]
    cfg = run_fakes.make_config(str(tmp_path / "killed"), samples=20)
    path = folder_of(cfg) / "records.jsonl"
    generator = random.Random()
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not (path.exists() and path.stat().st_size > 0):
            time.sleep(0.005)
        time.sleep(generator.uniform(0, 0.4))
        process.kill()
    survived = len(load_records(path))
    assert 0 < survived < 20
    process_again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"{survived}/20 samples" in process_again.stderr
    assert len(load_records(path)) == 20

    whole = run_fakes.make_config(str(tmp_path / "whole"), samples=20)
    expected = without_times(asdict(run(whole, counting.session())))
    found = json.loads((folder_of(cfg) / "summary.json").read_text())
    assert without_times(found) == expected


def test_the_baseline_takes_the_same_path(config: Any) -> None:
    """`none` is a compressor like the others: only what it builds differs."""
    assert NoneConfig().build(0.5, run_fakes.PROFILE) is None
