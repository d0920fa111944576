"""Every method on vision tokens runs with every family that gives what it needs."""

from __future__ import annotations

from pathlib import Path

from llava_checkpoint import build_checkpoint as build_llava
from reader_fixtures import Loaded

from freqexp.answering.session import Session
from freqexp.composing.compose import collect, compose
from freqexp.results.record_file import load_records
from freqexp.results.summary import Summary
from freqexp.running.sweep import run_points
from freqexp.schemas.choices import Family
from freqexp.schemas.compressor import COMPRESSORS
from freqexp.schemas.section import option_name

KEEP_EVERY_TOKEN = ("none", "token_vq")
METHODS = [option_name(option) for option in COMPRESSORS if option.stage in ("token", "decoder")]


def run(family: Family, folder: Path, tmp_path: Path, methods: list[str]) -> list[Summary]:
    """One command over all methods, a sample each."""
    points = collect(
        [
            "-m",
            f"compressor={','.join(methods)}",
            "keep_ratio=0.5",
            f"model.family={family.value}",
            f"model.path={folder}",
            "model.max_new_tokens=3",
            "samples=1",
            "tracking=off",
            f"output_dir={tmp_path}",
        ]
    )
    return run_points([point.config for point in points], lambda cfg: (), session=Session())


def check(summaries: list[Summary], methods: list[str]) -> None:
    """All ran, the vision tokens are fewer where a method leaves any out, and nothing failed."""
    assert {summary.compressor for summary in summaries} == {"none", *methods}
    assert [summary.failed for summary in summaries] == [0] * len(summaries)
    for summary in summaries:
        entering, layers = summary.decoder_tokens, summary.mean_layer_tokens
        assert entering is not None
        assert layers is not None
        # The pages of these samples have blank tokens in every family.
        fewer = summary.vision_tokens_out < summary.vision_tokens_in or layers < entering  # type: ignore[operator]
        assert fewer == (summary.compressor not in KEEP_EVERY_TOKEN)


def test_all_methods_run_on_a_random_checkpoint(loaded: Loaded, tmp_path: Path) -> None:
    check(run(loaded.kind.family, loaded.folder, tmp_path, METHODS), METHODS)


def test_all_methods_run_on_llava_onevision(tmp_path: Path) -> None:
    folder = build_llava(tmp_path / "weights")
    check(run(Family.llava_onevision, folder, tmp_path, METHODS), METHODS)


def test_keeping_everything_is_the_uncompressed_answer(tmp_path: Path) -> None:
    """With the bundled reader, whose answers differ when anything else does."""
    budgeted = [
        name
        for name in METHODS
        if name != "token" and compose((f"compressor={name}",)).compressor.uses_keep_ratio
    ]
    assert {"pool", "divprune", "tome", "dct_resample", "fastv"} <= set(budgeted)
    points = collect(
        [
            "-m",
            f"compressor={','.join(budgeted)}",
            *("keep_ratio=1", "samples=2", "model.max_new_tokens=12", "tracking=off"),
            f"output_dir={tmp_path}",
        ]
    )
    summaries = run_points([point.config for point in points], lambda cfg: (), session=Session())
    baseline, *others = [
        [record.answer for record in load_records(tmp_path / "runs" / s.run_id / "records.jsonl")]
        for s in summaries
    ]
    assert len(set(baseline)) == 2
    assert len(others) >= len(budgeted)
    assert all(answers == baseline for answers in others)
