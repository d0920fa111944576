from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
from report_runs import CONFIG, write_run

from freqexp.comparing.compare import compare
from freqexp.comparing.comparison import Comparison, Row
from freqexp.comparing.gates import gates
from freqexp.comparing.load import load
from freqexp.errors import UserError
from freqexp.results.intervals import changes, interval, scores
from freqexp.results.summarize import Baseline, summarize
from freqexp.schemas.choices import Attention, Dtype, Text
from freqexp.schemas.codecs import BlockDctConfig
from freqexp.schemas.tokens import PoolConfig, TokenConfig

GENERATOR = np.random.default_rng(7)
BASE = [float(x) for x in GENERATOR.choice([0.0, 0.5, 1.0], size=60)]
OURS = [float(x) for x in np.clip(GENERATOR.normal(BASE, 0.3) - 0.1, 0, 1)]


def compared(outputs: Path, **options: object) -> Comparison:
    return compare(load([str(outputs)]), **options)  # type: ignore[arg-type]


def row(comparison: Comparison, run_id: str) -> Row:
    return next(row for row in comparison.rows if row.run.run_id == run_id)


def test_a_difference_is_what_an_independent_computation_finds(tmp_path: Path) -> None:
    write_run(tmp_path, "base", {f"s{i:02d}": score for i, score in enumerate(BASE)})
    write_run(tmp_path, "ours", {f"s{i:02d}": score for i, score in enumerate(OURS)}, TokenConfig())
    found = row(compared(tmp_path), "ours")
    assert found.delta is not None
    assert found.accuracy is not None
    accuracy = found.delta.accuracy
    assert accuracy.value == pytest.approx(np.mean(OURS) - np.mean(BASE))
    assert (accuracy.low, accuracy.high) == pytest.approx(interval(changes(OURS, BASE)))
    assert (found.accuracy.low, found.accuracy.high) == pytest.approx(interval(scores(OURS)))
    reference = scipy.stats.permutation_test(
        (OURS, BASE),
        lambda x, y, axis: np.mean(x - y, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=20_000,
        rng=np.random.default_rng(0),
    )
    assert found.delta.p_value == pytest.approx(reference.pvalue, abs=0.01)
    flips = [(b >= 0.5, o >= 0.5) for b, o in zip(BASE, OURS, strict=True)]
    assert (found.delta.lost, found.delta.gained) == (
        flips.count((True, False)),
        flips.count((False, True)),
    )
    assert found.delta.prefix_miss is not None
    misses = np.mean([o == 0 for o in OURS]) - np.mean([b == 0 for b in BASE])
    assert found.delta.prefix_miss.value == pytest.approx(misses)
    assert found.delta.pairs == 60


def test_a_summary_says_what_the_report_says(tmp_path: Path) -> None:
    """One interval and one p value, whoever computes them."""
    write_run(tmp_path, "base", BASE)
    write_run(tmp_path, "ours", OURS, TokenConfig())
    found = row(compared(tmp_path), "ours")
    assert found.delta is not None
    assert found.accuracy is not None
    assert found.baseline is not None
    summary = summarize(CONFIG, "ours", found.run.records, Baseline("base", found.baseline.records))
    accuracy, delta = found.accuracy, found.delta
    said = (summary.accuracy, summary.accuracy_low, summary.accuracy_high)
    assert said == pytest.approx((accuracy.value, accuracy.low, accuracy.high), abs=1e-12)
    said = (summary.delta, summary.delta_low, summary.delta_high)
    difference = delta.accuracy
    assert said == pytest.approx((difference.value, difference.low, difference.high), abs=1e-12)
    assert summary.p_value == delta.p_value


def test_p_values_are_corrected_over_the_whole_report(tmp_path: Path) -> None:
    write_run(tmp_path, "base", BASE)
    for index in range(5):
        write_run(tmp_path, f"r{index}", OURS, TokenConfig(), keep_ratio=0.1 + index / 10)
    write_run(tmp_path, "same", BASE, BlockDctConfig())
    comparison = compared(tmp_path)
    single = row(comparison, "r0").delta
    assert single is not None
    assert single.p_holm == pytest.approx(min(1.0, 6 * single.p_value))
    same = row(comparison, "same").delta
    assert same is not None
    assert (same.p_value, same.p_holm, same.verdict) == (1.0, 1.0, "undecided")


def test_runs_of_different_samples_are_compared_on_those_they_share(tmp_path: Path) -> None:
    write_run(tmp_path, "base", {f"s{i}": 1.0 for i in range(6)})
    write_run(tmp_path, "more", {f"s{i}": 0.0 if i > 5 else 0.5 for i in range(9)}, TokenConfig())
    found = row(compared(tmp_path), "more")
    assert found.delta is not None
    assert (found.delta.pairs, found.delta.accuracy.value) == (6, -0.5)
    assert "compared on the 6 shared samples (of 9, baseline 6)" in found.notes


def test_a_sample_is_the_same_when_its_answer_is(tmp_path: Path) -> None:
    write_run(tmp_path, "base", [1.0, 1.0, 1.0])
    folder = write_run(tmp_path, "ours", [0.0, 1.0, 1.0], TokenConfig())
    path = folder / "records.jsonl"
    path.write_text(path.read_text().replace("pre the answer of s0", "something else"))
    found = row(compared(tmp_path), "ours")
    assert found.delta is not None
    assert (found.delta.pairs, found.delta.accuracy.value) == (2, 0.0)
    assert "1 samples expect another answer than the baseline's, left out" in found.notes


def test_runs_without_a_sample_in_common_are_not_compared(tmp_path: Path) -> None:
    write_run(tmp_path, "base", {"a": 1.0, "b": 1.0})
    write_run(tmp_path, "ours", {"c": 1.0, "d": 1.0}, TokenConfig())
    found = row(compared(tmp_path), "ours")
    assert found.delta is None
    assert "not compared: 0 samples in common with its baseline" in found.notes


def test_failed_samples_are_missing_not_zero(tmp_path: Path) -> None:
    write_run(tmp_path, "base", [1.0, 1.0, 1.0, 1.0])
    write_run(tmp_path, "ours", [1.0, None, 0.5, None], TokenConfig())
    found = row(compared(tmp_path), "ours")
    assert found.accuracy is not None
    assert (found.accuracy.value, found.samples, found.failed) == (0.75, 2, 2)
    assert "2 failed" in found.notes


def test_a_run_of_failures_alone_has_no_figures(tmp_path: Path) -> None:
    write_run(tmp_path, "ours", [None, None], TokenConfig())
    found = row(compared(tmp_path), "ours")
    assert (found.accuracy, found.prefix_miss, found.chance) == (None, None, None)
    assert "no baseline" in found.notes


def test_another_model_or_data_is_another_group(tmp_path: Path) -> None:
    write_run(tmp_path, "base", [1.0, 1.0])
    write_run(tmp_path, "ours", [1.0, 0.5], TokenConfig(), provenance={"weights_hash": "other"})
    comparison = compared(tmp_path)
    assert row(comparison, "ours").baseline is None
    assert len(set(comparison.groups)) == 2


def test_the_baseline_can_be_named(tmp_path: Path) -> None:
    write_run(tmp_path, "base", [1.0, 1.0])
    write_run(tmp_path, "ours", [1.0, 0.5], TokenConfig())
    write_run(tmp_path, "other", [0.0, 0.5], BlockDctConfig())
    found = row(compared(tmp_path, baseline="oth"), "ours")
    assert found.delta is not None
    assert found.delta.accuracy.value == 0.5
    with pytest.raises(UserError, match="--baseline: got 'nix'"):
        compared(tmp_path, baseline="nix")


def test_of_several_baselines_the_one_that_was_used_counts(tmp_path: Path) -> None:
    write_run(tmp_path, "base1", [1.0, 1.0, 1.0])
    write_run(tmp_path, "base2", [0.0, 0.0])
    write_run(tmp_path, "ours", [1.0, 0.5, 1.0], TokenConfig(), baseline_run_id="base2")
    write_run(tmp_path, "young", [1.0, 0.5, 1.0], TokenConfig(), finished=False)
    comparison = compared(tmp_path)
    bases = {r.run.run_id: r.baseline and r.baseline.run_id for r in comparison.rows}
    assert bases == {"base1": None, "base2": None, "ours": "base2", "young": "base1"}


def test_versions_that_differ_are_said(tmp_path: Path) -> None:
    write_run(tmp_path, "base", [1.0, 1.0], provenance={"versions": {"torch": "2.1"}})
    write_run(
        tmp_path,
        "ours",
        [1.0, 1.0],
        TokenConfig(),
        provenance={"versions": {"torch": "2.2\x1b"}, "code_hash": "new", "dirty": True},
    )
    assert compared(tmp_path).notes == (
        "the runs come from 2 states of the code that can change a score",
        r"the runs used different versions of torch 2.1, 2.2\x1b",
        "some runs come from code with changes that were not committed",
    )


def test_faults_of_the_data_are_said_as_the_last_start_counted_them(tmp_path: Path) -> None:
    found = {"samples": 64, "faulty": 6, "no_reply": 0, "other_count": 6, "other_place": 1}
    more = {**found, "samples": 200, "faulty": 20, "other_count": 20}
    resumed = [{"at": "x", "data_faults": more}, {"at": "y"}, "damaged"]
    for name, provenance in {
        "base": {"data_faults": found, "resumed": resumed},
        "same": {"data_faults": more},
        "sound": {"data_faults": {"samples": 64, "faulty": 0}},
        "older": {},
        "damaged": {"data_faults": "x", "resumed": 7},
    }.items():
        write_run(tmp_path, name, [1.0, 1.0], provenance=provenance)
    assert compared(tmp_path).notes == (
        "20 of the 200 samples read with 2 needles have a fault (other_count 20, other_place 1);"
        " python -m freqexp.benchmarks.check says which",
    )


def test_time_is_whole_or_unknown(tmp_path: Path) -> None:
    write_run(tmp_path, "base", [1.0, 1.0])
    shared = {"encode_ms": None, "compress_ms": 5.0}
    write_run(tmp_path, "ours", [1.0, 1.0], TokenConfig(), **shared)
    write_run(tmp_path, "lost", [1.0, 1.0], BlockDctConfig(), **{**shared, "decode_ms": None})
    comparison = compared(tmp_path)
    assert row(comparison, "base").total_ms == 220.0
    assert row(comparison, "ours").total_ms == 225.0
    assert row(comparison, "lost").total_ms is None
    assert row(comparison, "ours").median_ms == 225.0


def test_an_encoding_counts_for_all_who_share_it_whoever_made_it(tmp_path: Path) -> None:
    """The baseline found its pages encoded when another run came first."""
    write_run(tmp_path, "base", [1.0, 1.0], encode_ms=None)
    write_run(tmp_path, "ours", [1.0, 1.0], TokenConfig(), encode_ms=70.0, compress_ms=5.0)
    # What a codec made was encoded for itself alone.
    write_run(tmp_path, "pages", [1.0, 1.0], BlockDctConfig(), encode_ms=900.0, codec_ms=1.0)
    comparison = compared(tmp_path)
    assert row(comparison, "base").total_ms == 220.0
    assert row(comparison, "ours").total_ms == 225.0


def test_files_edited_into_nonsense_do_not_stop_the_others(tmp_path: Path) -> None:
    write_run(tmp_path, "base", [1.0, 1.0])
    write_run(tmp_path, "ours", [1.0, 0.5], TokenConfig())
    odd = write_run(tmp_path, "odd", [1.0, 0.5], TokenConfig())
    (odd / "summary.json").write_text(
        '{"compressor": ["x"], "keep_ratio": NaN, "samples": "many", "accuracy": "good",'
        ' "baseline_run_id": {"a": 1}, "model": null, "needles": [], "options": 7}'
    )
    (odd / "provenance.json").write_text('{"code_hash": [1], "versions": {"torch": [2]}}')
    (odd / "config.yaml").write_text("model: {render: {1: a, b: 2}}\nneedles: 7\nseed: [x]\n")
    comparison = compared(tmp_path)
    assert row(comparison, "ours").delta is not None
    assert row(comparison, "odd").run.compressor == "['x']"


def test_groups_are_told_apart_by_their_samples(tmp_path: Path) -> None:
    hard = replace(CONFIG, needles=replace(CONFIG.needles, near=1.0))
    letters = replace(CONFIG, needles=replace(CONFIG.needles, text=Text.random))
    for name, cfg in (("plain", CONFIG), ("hard", hard), ("letters", letters)):
        write_run(tmp_path, name, [1.0, 1.0], config=cfg)
    assert set(compared(tmp_path).groups) == {
        "fake, 2 needles",
        "fake, 2 needles, near 1.0",
        "fake, 2 needles, random text",
    }


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"max_new_tokens": 3}, "max_new_tokens=3"),
        ({"repetition_penalty": 1.3}, "repetition_penalty=1.3"),
        ({"dtype": Dtype.bfloat16}, "dtype=bfloat16"),
        ({"attention": Attention.eager}, "attention=eager"),
        ({"batch_size": 4}, "batch_size=4"),
        ({"max_pixels": 40_000}, "max_pixels=40000"),
        ({"answer_after": "</think>"}, "answer_after=</think>"),
    ],
)
def test_runs_of_other_settings_are_no_rivals(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    other = replace(CONFIG, model=replace(CONFIG.model, **change))
    scores = {f"s{i:02d}": score for i, score in enumerate(BASE)}
    write_run(tmp_path, "base", scores)
    write_run(tmp_path, "ours", scores, TokenConfig())
    write_run(tmp_path, "pool", dict.fromkeys(scores, 0.0), PoolConfig(), config=other)
    found = compared(tmp_path)
    ours, pool = row(found, "ours"), row(found, "pool")
    assert ours.group != pool.group
    assert pool.baseline is None
    assert found.groups[pool.group].endswith(said)
    assert len(set(found.groups)) == 2
    assert not [gate for gate in gates(found) if "pool" in gate.reason]


def test_where_and_how_far_a_run_went_keeps_rivals_together(tmp_path: Path) -> None:
    scores = {f"s{i:02d}": score for i, score in enumerate(BASE)}
    elsewhere = replace(CONFIG, samples=60, output_dir="other", encodings_cache_gb=1.0)
    write_run(tmp_path, "base", scores)
    write_run(tmp_path, "ours", scores, TokenConfig(), config=elsewhere)
    assert row(compared(tmp_path), "ours").baseline is not None


def test_a_setting_that_older_runs_do_not_have_is_its_default(tmp_path: Path) -> None:
    scores = {f"s{i:02d}": score for i, score in enumerate(BASE)}
    old = write_run(tmp_path, "base", scores) / "config.yaml"
    kept = [line for line in old.read_text().splitlines() if "max_pixels" not in line]
    old.write_text("\n".join(kept))
    write_run(tmp_path, "ours", scores, TokenConfig())
    assert row(compared(tmp_path), "ours").baseline is not None
