"""Runs that were given text beside runs of pages: one comparison, with one baseline."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from report_runs import CONFIG, cached, write_run

from freqexp.comparing.budgets import AXES, points
from freqexp.comparing.compare import compare
from freqexp.comparing.comparison import Comparison
from freqexp.comparing.gates import gates
from freqexp.comparing.load import load
from freqexp.comparing.rivals import absent_controls, is_control
from freqexp.report.figures import draw_all
from freqexp.report.tables import csv_table, terminal
from freqexp.schemas.choices import Input
from freqexp.schemas.kv_codes import KiviConfig
from freqexp.schemas.page_methods import BlankPruneConfig
from freqexp.schemas.text_input import TruncateConfig

TEXT = replace(CONFIG, model=replace(CONFIG.model, input=Input.text))
GOOD, HALF, BAD = [1.0] * 40, [1.0, 0.4] * 20, [0.6, 0.1] * 20


def as_text(whole: int, kept: int) -> dict[str, Any]:
    return {
        "pages": 0,
        "vision_tokens_in": 0,
        "vision_tokens_out": 0,
        "png_bytes": None,
        "png_bytes_after": None,
        "raw_bytes": None,
        "text_tokens": whole,
        "text_tokens_out": kept,
        "decoder_tokens": kept + 22,
        "kv_cache_bytes": 9216 * (kept + 22),
        "encode_ms": 1.0,
    }


def written(outputs: Path) -> Comparison:
    """Pages of 144 tokens whose text takes 216, pruned to 96, and the text whole and halved."""
    write_run(outputs, "pages", GOOD, text_tokens=216)
    write_run(
        outputs,
        "pruned",
        HALF,
        BlankPruneConfig(),
        text_tokens=216,
        vision_tokens_out=96,
        decoder_tokens=118,
        kv_cache_bytes=9216 * 118,
        baseline_run_id="pages",
    )
    write_run(outputs, "text", GOOD, config=TEXT, baseline_run_id="pages", **as_text(216, 216))
    write_run(outputs, "half", BAD, TruncateConfig(), config=TEXT, **as_text(216, 90))
    return compare(load([str(outputs)]))


def test_text_and_pages_are_one_comparison(tmp_path: Path) -> None:
    comparison = written(tmp_path)
    assert len(comparison.groups) == 1
    rows = {row.run.run_id: row for row in comparison.rows}
    assert [row.run.run_id for row in comparison.rows if row.run.is_baseline] == ["pages"]
    for name in ("pruned", "text", "half"):
        assert rows[name].baseline is not None
        # Also where no summary names one.
        assert rows[name].baseline.run_id == "pages"
        assert rows[name].delta is not None
        assert rows[name].delta.pairs == 40
    titles = [rows[name].run.title() for name in ("pages", "pruned", "text", "half")]
    assert titles == ["none", "blank_prune", "text", "text+truncate keep 0.5"]


def test_tokens_of_the_decoder_are_one_axis_for_both(tmp_path: Path) -> None:
    comparison = written(tmp_path)
    (axis,) = [axis for axis in AXES if axis.name == "decoder_tokens"]
    found = {p.row.run.run_id: p.cost for p in points(comparison.rows, axis)}
    assert found == {"pages": 166, "pruned": 118, "text": 238, "half": 112}
    drawn = draw_all(comparison, tmp_path)
    (figure,) = [each for each in drawn if each.name == "accuracy_decoder_tokens"]
    # Letters of a figure are paths; a comment names each text.
    svg = (tmp_path / f"{figure.name}.svg").read_text()
    assert "text+truncate (control)" in svg
    assert "none (baseline)" in svg


def test_the_report_says_what_the_text_takes(tmp_path: Path) -> None:
    comparison = written(tmp_path)
    table = terminal(comparison)
    rows = {line.split()[0]: line for line in table.splitlines() if "0." in line}
    assert "216 (1.50 : 1)" in rows["none"]
    assert "216 (2.25 : 1)" in rows["blank_prune"]
    assert "216 text" in rows["text"]
    assert "216 (1.00 : 1)" in rows["text"]
    assert "216 -> 90 text" in rows["text+truncate"]
    assert "216 (2.40 : 1)" in rows["text+truncate"]
    assert "as text: tokens that the conversation takes as text" in table
    assert "text_token_ratio" in csv_table(comparison).splitlines()[0]


def test_runs_of_before_text_was_counted_have_no_such_column(tmp_path: Path) -> None:
    write_run(tmp_path, "pages", GOOD)
    assert "as text" not in terminal(compare(load([str(tmp_path)])))


def test_text_is_a_control_and_no_method(tmp_path: Path) -> None:
    comparison = written(tmp_path)
    controls = {row.run.run_id for row in comparison.rows if is_control(row.run)}
    assert controls == {"pages", "text", "half"}
    (gate,) = [g for g in gates(comparison) if g.budget == "decoder tokens"]
    # Cut text that costs no more is what the pruned pages have to beat.
    assert (gate.method, gate.verdict) == ("blank_prune", "passes")
    assert "against text+truncate keep 0.5 at 118 tokens a sample" in gate.reason
    assert "truncate" not in absent_controls([row.run for row in comparison.rows])


def test_a_method_on_the_cache_of_text_is_one_on_the_cache(tmp_path: Path) -> None:
    more = {**as_text(216, 216), **cached(share=0.25), "mean_layer_tokens": 238.0}
    write_run(tmp_path, "kivi", HALF, KiviConfig(), config=TEXT, **more)
    comparison = written(tmp_path)
    (row,) = [row for row in comparison.rows if row.run.run_id == "kivi"]
    assert row.run.title() == "text+kivi"
    assert not is_control(row.run)
    assert {g.budget for g in gates(comparison) if g.method == "text+kivi"} == {"KV cache"}


def test_a_page_run_takes_no_time_of_a_tokenizer(tmp_path: Path) -> None:
    write_run(tmp_path, "text", GOOD, config=TEXT, **as_text(216, 216))
    write_run(tmp_path, "pages", GOOD, encode_ms=None)
    comparison = compare(load([str(tmp_path)]))
    times = {row.run.run_id: row.median_ms for row in comparison.rows}
    assert times == {"text": 151.0, "pages": None}
