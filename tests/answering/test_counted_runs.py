"""Whole runs whose tokens are counted: `keep_tokens` and `keep_like` in place of the keep ratio."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import run_fakes
from run_fakes import Counting

from freqexp.answering.session import Session
from freqexp.composing.compose import collect
from freqexp.config.run import RunConfig
from freqexp.config.saved import from_yaml, to_yaml
from freqexp.errors import UserError
from freqexp.results.record import Record
from freqexp.results.record_file import load_records
from freqexp.results.summary import Summary
from freqexp.running.execute import execute
from freqexp.running.progress import Lines
from freqexp.running.sweep import run_points
from freqexp.schemas.tokens import PoolConfig

TOKENS = 144
"""Of a page of the fake and of the bundled reader."""


@pytest.fixture
def counted(tmp_path: Path) -> Callable[..., RunConfig]:
    def make(**changes: Any) -> RunConfig:
        cfg: RunConfig = run_fakes.make_config(
            str(tmp_path / "outputs"), compressor=PoolConfig(), baseline=False, **changes
        )
        return cfg

    return make


def run(cfg: RunConfig, counting: Counting) -> Summary:
    return execute(cfg, counting.session(), Lines(io.StringIO()))


@pytest.mark.parametrize(
    ("keep_ratio", "count", "simulated"), [(0.5, 36, False), (1.0, 36, False), (0.5, TOKENS, True)]
)
def test_a_count_goes_before_the_keep_ratio(
    counted: Callable[..., RunConfig],
    counting: Counting,
    keep_ratio: float,
    count: int,
    simulated: bool,
) -> None:
    summary = run(counted(keep_ratio=keep_ratio, keep_tokens=count), counting)
    assert summary.pages is not None
    assert summary.vision_tokens_out == count * summary.pages
    assert (summary.simulated, summary.token_simulated) == (simulated, simulated)
    assert (summary.keep_ratio, summary.keep_tokens) == (None, count)


def test_a_count_beyond_the_page_ends_the_run_before_an_answer(
    counted: Callable[..., RunConfig], counting: Counting
) -> None:
    asked: list[str] = []
    counting.reader.on_answer = asked.append
    message = f"keep_tokens: got 145, allowed: 1 to the page's {TOKENS} tokens"
    with pytest.raises(UserError, match=message):
        run(counted(keep_tokens=145), counting)
    assert asked == []


def test_a_run_saved_before_there_were_counts_is_read(
    counted: Callable[..., RunConfig], tmp_path: Path
) -> None:
    cfg = counted(keep_ratio=0.3)
    lines = to_yaml(cfg).splitlines(keepends=True)
    old = [line for line in lines if not line.startswith(("keep_tokens", "keep_like"))]
    assert len(old) == len(lines) - 2
    file = tmp_path / "config.yaml"
    file.write_text("".join(old))
    assert from_yaml(file) == cfg
    file.write_text(to_yaml(replace(cfg, keep_tokens=7)))
    assert from_yaml(file) == replace(cfg, keep_tokens=7)


def records_of(tmp_path: Path, *overrides: str) -> list[list[Record]]:
    """Records of each run of a command with the bundled reader, in the order of its points."""
    further = ("samples=2", "model.max_new_tokens=3", "tracking=off", f"output_dir={tmp_path}")
    points = collect(["-m", *overrides, *further])
    summaries = run_points([point.config for point in points], lambda cfg: (), session=Session())
    folders = [tmp_path / "runs" / summary.run_id for summary in summaries]
    return [load_records(folder / "records.jsonl") for folder in folders if folder.exists()]


def test_every_page_gets_the_count_of_the_other_method(tmp_path: Path) -> None:
    overrides = ("compressor=blank_prune,pool,fastv", "keep_like=blank_prune")
    _, blank, pool, fastv = records_of(tmp_path, *overrides)
    assert all(record.error is None for record in (*blank, *pool, *fastv))
    assert [r.vision_tokens_out for r in blank] == [r.vision_tokens_out for r in pool]
    kept = [_shown(record.kept) for record in blank]
    assert kept == [_shown(record.kept) for record in pool]
    assert [sum(pages) for pages in kept] == [sum(_shown(record.kept)) for record in fastv]
    assert all(0 < count < TOKENS for pages in kept for count in pages)


def test_a_method_inside_the_decoder_leaves_as_many_tokens_for_each_page(tmp_path: Path) -> None:
    _, dart = records_of(tmp_path, "compressor=dart", "keep_tokens=40,41", "needles=2")[:2]
    for record in dart:
        assert record.pages is not None
        assert sum(_shown(record.kept)) == 40 * record.pages


def _shown(kept: str | None) -> list[int]:
    """How many tokens of each page stay, of a record's bitmaps."""
    assert kept is not None
    return [int(page.partition(":")[2], 16).bit_count() for page in kept.split()]
