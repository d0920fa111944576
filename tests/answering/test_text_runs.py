"""Whole runs that are given text in place of pages, and what every run says of its text."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import run_fakes
import torch
from run_fakes import Counting, FakeReader
from torch import Tensor

from freqexp.answering.session import Session
from freqexp.benchmarks.samples import load_samples
from freqexp.composing.compose import collect, compose
from freqexp.config.identity import run_id
from freqexp.config.run import RunConfig
from freqexp.config.saved import from_yaml, to_yaml
from freqexp.config.title import title_of
from freqexp.errors import ConfigError
from freqexp.readers.base import Answer, Request
from freqexp.readers.bundled import folder
from freqexp.results.record import Record
from freqexp.results.record_file import load_records
from freqexp.results.summary import Summary
from freqexp.results.table import render_table
from freqexp.running.execute import baseline_of, execute
from freqexp.running.progress import Lines
from freqexp.running.sweep import run_points
from freqexp.schemas.choices import Input
from freqexp.schemas.codecs import JpegConfig
from freqexp.schemas.kv_codes import KiviConfig
from freqexp.schemas.text_input import TruncateConfig
from freqexp.schemas.tokens import TokenConfig


class Lettered(FakeReader):
    """A token a letter; it answers text by the question as the other does pages."""

    reads_text = True

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tokenized = 0

    def text_ids(self, text: str) -> Tensor:
        self.tokenized += 1
        return torch.tensor([ord(letter) for letter in text], dtype=torch.int64)

    def answer_batch(self, requests: Sequence[Request]) -> list[Answer]:
        answers = super().answer_batch(requests)
        return [self._counted(*each) for each in zip(requests, answers, strict=True)]

    def _counted(self, request: Request, answer: Answer) -> Answer:
        if request.text is None:
            return answer
        assert not request.vision
        self.texts.append("".join(map(chr, request.text.tolist())))
        return replace(answer, decoder_tokens=len(request.text) + 5)


@pytest.fixture
def reader(counting: Counting) -> Lettered:
    reader = Lettered()
    counting.reader = reader
    return reader


def configured(tmp_path: Path, how: str = "text", **changes: Any) -> RunConfig:
    model = replace(run_fakes.MODEL, input=Input(how))
    return run_fakes.make_config(str(tmp_path / "outputs"), model=model, **changes)


def run(cfg: RunConfig, counting: Counting) -> tuple[Summary, list[Record]]:
    summary = execute(cfg, counting.session(), Lines(io.StringIO()))
    folder = Path(cfg.output_dir) / "runs" / summary.run_id
    return summary, load_records(folder / "records.jsonl")


def test_text_takes_the_place_of_pages(
    tmp_path: Path, counting: Counting, reader: Lettered
) -> None:
    summary, records = run(configured(tmp_path), counting)
    assert reader.encoded == []
    samples = {
        s.sample_id: s for s in run_fakes.make_samples(run_fakes.make_config("").needles, 6, 0)
    }
    expected = ["".join(f"> {t.user}\n{t.assistant}\n" for t in s.turns) for s in samples.values()]
    assert reader.texts == expected
    for record in records:
        assert record.error is None
        assert record.pages == record.vision_tokens_in == record.vision_tokens_out == 0
        turns = samples[record.sample_id].turns
        length = sum(len(turn.user) + len(turn.assistant) + 4 for turn in turns)
        assert record.text_tokens == record.text_tokens_out == length
        assert record.decoder_tokens == length + 5
        assert record.encode_ms is not None
        assert record.text_brotli_bytes is not None
        for name in ("png_bytes", "stored_bytes", "render_ms", "compress_ms", "kept"):
            assert getattr(record, name) is None
    assert (summary.compressor, summary.text_token_ratio) == ("text", 1.0)
    assert summary.simulated is False


def test_pages_say_what_their_text_would_take(
    tmp_path: Path, counting: Counting, reader: Lettered
) -> None:
    summary, records = run(configured(tmp_path, "pages"), counting)
    assert [r.text_tokens_out for r in records] == [None] * 6
    assert summary.text_tokens == sum(r.text_tokens or 0 for r in records) / 6
    assert summary.vision_tokens_out
    assert summary.text_token_ratio == summary.text_tokens / summary.vision_tokens_out
    assert summary.compressor == "none"


def test_text_is_counted_once_for_all_runs_of_a_session(
    tmp_path: Path, counting: Counting, reader: Lettered
) -> None:
    session, lines = counting.session(), Lines(io.StringIO())
    execute(configured(tmp_path, "pages"), session, lines)
    assert reader.tokenized == 6
    execute(configured(tmp_path, "pages", compressor=TokenConfig()), session, lines)
    assert reader.tokenized == 6


def test_a_reader_without_a_tokenizer_counts_none(tmp_path: Path, counting: Counting) -> None:
    summary, records = run(configured(tmp_path, "pages"), counting)
    assert [r.text_tokens for r in records] == [None] * 6
    assert summary.text_token_ratio is None
    assert "as text" not in render_table([summary])


@pytest.mark.parametrize(
    ("settings", "most"), [({"keep_ratio": 0.7}, 0.7), ({"keep_tokens": 40}, None)]
)
def test_the_oldest_turns_go_and_the_question_stays(
    tmp_path: Path, counting: Counting, reader: Lettered, settings: dict[str, Any], most: Any
) -> None:
    asked: list[str] = []
    reader.on_answer = asked.append
    cfg = configured(tmp_path, compressor=TruncateConfig(), **settings)
    summary, records = run(cfg, counting)
    assert len(asked) == 6
    for text in reader.texts:
        assert text.startswith("> poem ")
        assert text.endswith("hills\n")
        assert "> poem 0?" not in text
        assert "> poem 2?" in text
    for record in records:
        assert record.text_tokens is not None
        assert record.text_tokens_out is not None
        budget = 40 if most is None else int(most * record.text_tokens + 0.5)
        assert 0 < record.text_tokens_out <= budget < record.text_tokens
        assert record.decoder_tokens == record.text_tokens_out + 5
        assert record.compress_ms is not None
    assert summary.compressor == "text+truncate"
    assert summary.simulated is False
    assert summary.text_token_ratio
    assert summary.text_token_ratio > 1


def test_a_text_within_the_budget_is_simulated_truncation(
    tmp_path: Path, counting: Counting, reader: Lettered
) -> None:
    cfg = configured(tmp_path, compressor=TruncateConfig(), keep_tokens=1000)
    summary, _ = run(cfg, counting)
    assert summary.simulated is True
    assert summary.text_tokens == summary.text_tokens_out


def test_the_table_says_which_runs_read_text(
    tmp_path: Path, counting: Counting, reader: Lettered
) -> None:
    cfgs = [
        configured(tmp_path, "pages"),
        configured(tmp_path),
        configured(tmp_path, compressor=TruncateConfig(), keep_ratio=0.5),
    ]
    session = counting.session()
    summaries = [execute(cfg, session, Lines(io.StringIO())) for cfg in cfgs]
    table = render_table(summaries)
    rows = [line for line in table.splitlines() if line.startswith(("none", "text"))]
    assert [row.split()[0] for row in rows] == ["none", "text", "text+truncate"]
    whole = summaries[0].text_tokens
    assert f"{whole:g} -> {whole:g} text" in rows[1]
    assert f"{whole:g} (1.00 : 1)" in rows[1]
    assert "as text: tokens that the conversation takes as text" in table
    # Uncompressed pages are the baseline of both.
    assert {s.baseline_run_id for s in summaries[1:]} == {summaries[0].run_id}
    assert summaries[0].baseline_run_id is None
    # One set of weights reads both.
    assert counting.loaded == ["fake"]


def test_a_sweep_has_its_baseline_once(
    tmp_path: Path, counting: Counting, reader: Lettered
) -> None:
    cfgs = [configured(tmp_path), configured(tmp_path, "pages"), configured(tmp_path, "pages")]
    cfgs.append(configured(tmp_path, compressor=TruncateConfig()))
    summaries = run_points(cfgs, lambda cfg: (), session=counting.session())
    assert [s.compressor for s in summaries] == ["none", "text", "text+truncate"]
    assert counting.loaded == ["fake"]


def test_the_baseline_of_text_is_uncompressed_pages(tmp_path: Path) -> None:
    text = configured(tmp_path)
    assert baseline_of(text) == configured(tmp_path, "pages")
    cut = configured(tmp_path, compressor=TruncateConfig())
    assert baseline_of(cut) == configured(tmp_path, "pages")
    assert baseline_of(configured(tmp_path, "pages")) is None


def test_what_is_given_is_part_of_a_run(tmp_path: Path) -> None:
    model = compose().model
    cfgs = [
        configured(tmp_path, how, compressor=compressor, **more)
        for how, compressor, more in (
            ("pages", run_fakes.make_config("").compressor, {}),
            ("text", run_fakes.make_config("").compressor, {}),
            ("text", TruncateConfig(), {"keep_ratio": 0.5}),
            ("text", TruncateConfig(), {"keep_ratio": 0.4}),
            ("text", TruncateConfig(), {"keep_tokens": 60}),
        )
    ]
    found = [run_id(replace(c, model=replace(model, input=c.model.input))) for c in cfgs]
    assert len(set(found)) == len(found)
    file = tmp_path / "config.yaml"
    file.write_text(to_yaml(cfgs[2]))
    assert from_yaml(file) == cfgs[2]
    lines = to_yaml(cfgs[0]).splitlines(keepends=True)
    file.write_text("".join(line for line in lines if "input:" not in line))
    assert from_yaml(file) == cfgs[0]


def test_titles_name_the_input(tmp_path: Path) -> None:
    assert title_of(configured(tmp_path, "pages", compressor=JpegConfig())) == "jpeg"
    assert title_of(configured(tmp_path, compressor=KiviConfig())) == "text+kivi"


@pytest.mark.parametrize(
    ("overrides", "fault"),
    [
        (
            ("model.input=text", "compressor=jpeg"),
            "compressor: got 'jpeg (stage codec)', allowed: none, truncate or a method on the KV "
            "cache with model.input=text, which leaves no pages and no vision tokens",
        ),
        (("model.input=text", "compressor=token"), "compressor: got 'token (stage token)'"),
        (("model.input=text", "compressor=fastv"), "compressor: got 'fastv (stage decoder)'"),
        (("model.input=text", "compressor=combined"), "compressor: got 'block_dct (stage codec)'"),
        (
            ("compressor=truncate",),
            "model.input: got 'pages', allowed: text for compressor truncate",
        ),
        (
            ("model=ppocr", "model.input=text", "compressor=none"),
            "model.input: got 'text', allowed: pages for ppocr, which has no tokenizer",
        ),
        (("model.input=words",), "model.input: got 'words'"),
        (
            ("model.input=text", "compressor=truncate", "keep_tokens=0"),
            "keep_tokens: got 0, allowed: an integer of 1 or more",
        ),
    ],
)
def test_what_does_not_go_with_the_input_is_refused(overrides: tuple[str, ...], fault: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose(overrides)
    assert len(caught.value.faults) == 1
    assert caught.value.faults[0].startswith(fault)


def test_a_sample_that_stands_for_an_image_is_a_failed_sample(
    tmp_path: Path, counting: Counting, reader: Lettered
) -> None:
    reader.broken.add("sample-003")
    summary, records = run(configured(tmp_path), counting)
    (failed,) = [record for record in records if record.error]
    assert (failed.sample_id, summary.failed) == ("sample-003", 1)
    assert failed.text_tokens is not None
    assert failed.score is None


def of_tiny(tmp_path: Path, *overrides: str) -> list[list[Record]]:
    """Records of each run of a command with the bundled reader, the baseline's first."""
    further = ("samples=2", "model.max_new_tokens=3", "tracking=off", f"output_dir={tmp_path}")
    points = collect(["-m", *overrides, *further])
    summaries = run_points([point.config for point in points], lambda cfg: (), session=Session())
    folders = [tmp_path / "runs" / summary.run_id for summary in summaries]
    return [load_records(folder / "records.jsonl") for folder in folders]


def test_the_bundled_reader_reads_text(tmp_path: Path) -> None:
    from tokenizers import Tokenizer

    pages, text, half, cached = of_tiny(
        tmp_path, "compressor=none,truncate,kivi", "model.input=text", "model.batch_size=2"
    )
    tokenizer = Tokenizer.from_file(str(folder() / "tokenizer.json"))
    cfg = compose()
    samples = {s.sample_id: s for s in load_samples(cfg.needles, 2, 0)}
    for record in (*pages, *text, *half, *cached):
        assert record.error is None
        turns = samples[record.sample_id].turns
        whole = "".join(f"> {turn.user}\n{turn.assistant}\n" for turn in turns)
        assert record.text_tokens == len(tokenizer.encode(whole).ids)
    for record, cut, held in zip(text, half, cached, strict=True):
        question = samples[record.sample_id].question
        chat = f"<|user|>\n{question}<|assistant|>"
        around = len(tokenizer.encode(chat).ids)
        assert record.decoder_tokens == around + (record.text_tokens or 0)
        assert cut.decoder_tokens == around + (cut.text_tokens_out or 0)
        assert (cut.text_tokens_out or 0) <= (record.text_tokens or 0) // 2 + 1
        assert held.decoder_tokens == record.decoder_tokens
        assert (held.kv_cache_bytes or 0) < (record.kv_cache_bytes or 0)
        assert record.batch_size == 2
    assert all((r.vision_tokens_in, r.text_tokens_out) == (288, None) for r in pages)


def test_the_adapter_of_text_reads_what_the_reader_can_not(tmp_path: Path) -> None:
    further = ("samples=2", "tracking=off", f"output_dir={tmp_path}", "baseline=false")
    choices = ("model.adapter=bundled_text,null", "model.max_new_tokens=24")
    points = collect(["-m", "model.input=text", "compressor=none", *choices, *further])
    adapted, plain = run_points([p.config for p in points], lambda cfg: (), session=Session())
    assert (adapted.options, plain.options) == ("adapter=bundled_text", "")
    assert (adapted.prefix_miss_rate, plain.prefix_miss_rate) == (0.0, 1.0)
    assert adapted.accuracy is not None
    assert adapted.accuracy > 0.5
