from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest
from report_runs import HOSTILE, PARTS, write_run

from freqexp.comparing.compare import compare
from freqexp.comparing.comparison import Comparison
from freqexp.comparing.findings import findings
from freqexp.comparing.load import load
from freqexp.report.columns import Column, columns, legend
from freqexp.report.tables import csv_table, latex_table, markdown_report, terminal
from freqexp.schemas.tokens import RandomPruneConfig, TokenConfig


@pytest.fixture
def comparison(tmp_path: Path) -> Comparison:
    write_run(tmp_path, "base", [1.0, 1.0, 0.5])
    write_run(
        tmp_path,
        "ours",
        [1.0, None, 0.0],
        TokenConfig(),
        decoder_tokens=94,
        kv_cache_bytes=9216 * 94,
    )
    return compare(load([str(tmp_path)]))


@pytest.fixture
def apart(tmp_path: Path) -> Comparison:
    """A run whose scores were taken apart beside one of before that."""
    write_run(tmp_path / "apart", "base", [1.0, 1.0, 0.5])
    write_run(
        tmp_path / "apart",
        "ours",
        [1.0, 0.6, 0.1],
        TokenConfig(),
        **PARTS,
        wrong_turn=2,
        wrong_needle=False,
    )
    return compare(load([str(tmp_path / "apart")]))


@pytest.fixture
def hostile(tmp_path: Path) -> Comparison:
    """Hostile text in every place a file can put it."""
    write_run(tmp_path, "base", [1.0, 1.0])
    folder = write_run(tmp_path, "ours", [1.0, 0.5], TokenConfig(), answer=HOSTILE)
    summary = json.loads((folder / "summary.json").read_text())
    evil = "\x1b[2J|\\input{x}=cmd()" + HOSTILE
    for name in ("model", "compressor", "options", "profile"):
        summary[name] = evil
    (folder / "summary.json").write_text(json.dumps(summary))
    provenance = {"code_hash": evil, "versions": {evil: "1"}}
    (folder / "provenance.json").write_text(json.dumps(provenance))
    return compare(load([str(tmp_path)]))


def test_the_csv_has_every_number_and_no_zero_for_what_is_missing(comparison: Comparison) -> None:
    base, ours = csv.DictReader(io.StringIO(csv_table(comparison)))
    assert float(base["accuracy"]) == pytest.approx(2.5 / 3)
    assert (base["delta"], base["stored_bytes"], base["baseline_run_id"]) == ("", "", "")
    assert float(ours["delta"]) == -0.25
    assert (ours["pairs"], ours["failed"], ours["baseline_run_id"]) == ("2", "1", "base")
    assert float(ours["decoder_tokens"]) == 94
    assert base["pareto"].split() == ["decoder_tokens", "kv_cache_bytes", "total_ms"]
    assert ours["control_gate"] == "decoder tokens: untested"


def test_the_terminal_table_lines_up(comparison: Comparison) -> None:
    lines = terminal(comparison).splitlines()
    assert lines[0] == "fake, 2 needles"
    starts = [match.start() for match in re.finditer(r"-+", lines[2])]
    for line in (lines[1], lines[3], lines[4]):
        assert all(line[start - 1 : start] in (" ", "") for start in starts[1:])
    assert "1 failed; compared on the 2 shared samples (of 2, baseline 3)" in lines[4]


def test_the_legend_is_of_the_columns_that_are_there(comparison: Comparison) -> None:
    shown = columns(comparison)
    assert not any("CER" in sentence for sentence in legend(shown))
    read = Column("CER %", lambda row: "1.0", lambda row: 0.01)
    assert any("line reader" in sentence for sentence in legend([*shown, read]))


def test_what_scores_are_made_of_stands_beside_them(
    comparison: Comparison, apart: Comparison
) -> None:
    heads = ("right place", "copied", "derailed", "other turn")
    assert not {column.head for column in columns(comparison)} & set(heads)
    shown = {column.head: column for column in columns(apart)}
    base, ours = apart.rows
    assert [shown[head].cell(base) for head in heads] == ["-"] * 4
    assert [shown[head].cell(ours) for head in heads] == [
        "100 % (20)",
        "0.250",
        "100 %",
        "100 % (0)",
    ]
    assert any("right place:" in line for line in legend(columns(apart)))
    assert r"{100 \% (20)} & {0.250} & {100 \%} & {" in latex_table(apart)
    assert "| 100 % (20) | 0.250 | 100 % | 100 % (0) |" in markdown_report(apart)
    before, after = csv.DictReader(io.StringIO(csv_table(apart)))
    assert (before["right_place_rate"], before["copied_share"], before["mix_exact"]) == (
        "",
        "",
        "2",
    )
    assert float(after["place_chance"]) == pytest.approx(0.2)
    counts = [int(value) for name, value in after.items() if name.startswith("mix_")]
    assert counts == [1, 0, 1, 1, 0, 0, 0, 0]


def test_findings_say_what_is_absent(comparison: Comparison) -> None:
    text = "\n".join(findings(comparison))
    assert "token by decoder tokens was not tested against controls" in text
    assert re.search("controls without a run here: .*downsample.*random_prune, pool", text)
    assert "stored size: not measured in 1 of 2 runs" in text


def test_a_method_that_fails_the_gate_is_marked(tmp_path: Path) -> None:
    fewer = {"decoder_tokens": 94, "kv_cache_bytes": 9216 * 94}
    write_run(tmp_path, "base", [1.0, 1.0])
    write_run(tmp_path, "ctrl", [1.0, 1.0], RandomPruneConfig(), **fewer)
    write_run(tmp_path, "ours", [0.0, 0.0], TokenConfig(), **fewer)
    said = "\n".join(findings(compare(load([str(tmp_path)]))))
    assert "token by decoder tokens DOES NOT BEAT THE CONTROLS" in said


def test_the_latex_table_has_the_same_columns_in_every_row(comparison: Comparison) -> None:
    lines = latex_table(comparison).splitlines()
    columns = len(re.search(r"\{(l+)\}", lines[1])[1])  # type: ignore[index]
    rows = [line for line in lines if line.endswith(r"\\") and "multicolumn" not in line]
    assert len(rows) == 3
    assert all(len(re.split(r"(?<!\\)&", row)) == columns for row in rows)
    assert [line for line in lines if line.startswith(r"\t")] == [r"\toprule"]
    assert lines[-2:] == [r"\bottomrule", r"\end{tabular}"]


def test_markdown_rows_have_as_many_cells_as_the_head(comparison: Comparison) -> None:
    text = markdown_report(comparison, [("a.png", "A [figure]")])
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1
    assert r"![A \[figure\]](a.png)" in text


def test_hostile_text_reaches_no_interpreter(hostile: Comparison) -> None:
    for text in (terminal(hostile), markdown_report(hostile), csv_table(hostile)):
        assert not set(text) & {"\x1b", "\u202e"}
    assert "<script" not in markdown_report(hostile)
    assert r"\input" not in latex_table(hostile)
