"""What a report says of the KV cache, and that it says nothing where no run compressed it."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
import zlib
from pathlib import Path

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from report_runs import cached, record, write_run

from freqexp.comparing.budgets import AXES
from freqexp.comparing.compare import compare
from freqexp.comparing.comparison import Comparison
from freqexp.comparing.load import load
from freqexp.report.budget_figures import budget_figures
from freqexp.report.build import Report, write_report
from freqexp.report.cache import cache_facts, cache_tables
from freqexp.report.cache_figures import cache_figures
from freqexp.report.columns import columns, legend
from freqexp.report.drawing import looks, style
from freqexp.report.pages import Limits
from freqexp.report.tables import csv_table, latex_table, markdown_report, terminal
from freqexp.schemas.choices import Question
from freqexp.schemas.kv import KVRandomConfig
from freqexp.schemas.tokens import TokenConfig

FULL = 9216 * 166
QUANTISED = {
    "kv_codes_bytes": FULL // 4,
    "kv_scales_bytes": FULL // 8,
    "kv_exact_bytes": FULL // 8,
    "kv_end_bytes": FULL,
    "kv_read_bytes": 65536,
    "kv_shared_bytes": 2048,
    "cache_tokens_min": 40,
    "cache_tokens_max": 120,
    "kv_ms": 3.25,
    "decode_token_ms": 11.5,
}


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """A baseline, a run whose question was seen, one where it was not, and one of tokens."""
    tmp_path = tmp_path_factory.mktemp("cache")
    base = cached(1.0, None, kv_simulated=None, decode_token_ms=9.0, later_score=1.0)
    write_run(tmp_path, "base", [1.0, 1.0], **base)
    write_run(tmp_path, "mine", [1.0, 0.5], KVRandomConfig(), **cached(**QUANTISED))
    seen = cached(0.25, "seen", later_score=0.125)
    write_run(tmp_path, "asks", [1.0, 0.0], KVRandomConfig(question=Question.seen), **seen)
    fewer = {"decoder_tokens": 94, "kv_cache_bytes": 9216 * 94, "later_score": 0.5}
    write_run(tmp_path, "toks", [1.0, 0.0], TokenConfig(), **fewer)
    return compare(load([str(tmp_path)]))


@pytest.fixture(scope="module")
def report(comparison: Comparison, tmp_path_factory: pytest.TempPathFactory) -> Report:
    return write_report(comparison, tmp_path_factory.mktemp("report"), Limits(images=0))


@pytest.fixture
def tokens(tmp_path: Path) -> Comparison:
    """Runs of today that leave the cache alone; all of its bytes were counted."""
    measured = cached(1.0, None, kv_simulated=None, later_score=1.0, decode_token_ms=9.0)
    write_run(tmp_path / "t", "base", [1.0, 1.0], **measured)
    write_run(tmp_path / "t", "toks", [1.0, 0.0], TokenConfig(), **measured)
    return compare(load([str(tmp_path / "t")]))


def cells(comparison: Comparison, run_id: str) -> dict[str, str]:
    (row,) = [row for row in comparison.rows if row.run.run_id == run_id]
    return {column.head: column.cell(row) for column in columns(comparison)}


def test_columns_of_the_cache_stand_beside_the_others(comparison: Comparison) -> None:
    base, mine, asks, toks = (cells(comparison, name) for name in ("base", "mine", "asks", "toks"))
    assert [run["question"] for run in (base, mine, asks, toks)] == ["-", "unseen", "seen", "-"]
    assert [run["later score"] for run in (base, mine, asks, toks)] == ["-", "-", "0.125", "-"]
    assert [run["KV cache"] for run in (base, mine, asks, toks)] == [
        "1.5 MiB",
        "747.0 KiB (50.0 %)",
        "373.5 KiB (25.0 %)",
        "846.0 KiB",
    ]
    assert (mine["KV ms"], mine["ms a token"], base["ms a token"]) == ("3.2", "11.5", "9.0")
    assert any(line.startswith("question: whether") for line in legend(columns(comparison)))


def test_without_a_run_on_the_cache_nothing_is_added(tokens: Comparison, tmp_path: Path) -> None:
    heads = {column.head for column in columns(tokens)}
    assert not heads & {"question", "later score", "KV ms", "ms a token"}
    assert cache_tables(tokens) == []
    assert list(cache_figures(tokens)) == []
    assert "What the KV cache held" not in terminal(tokens) + markdown_report(tokens)
    # Nor is anything left of an earlier report.
    stale = [tmp_path / "r" / name for name in ("kv_cache.tex", "kv_components_2.svg")]
    stale[0].parent.mkdir()
    for file in stale:
        file.write_text("")
    written = write_report(tokens, tmp_path / "r", Limits(images=0))
    assert "kv_cache.tex" not in written.files
    assert not any(file.exists() for file in stale)


def test_the_table_says_what_the_cache_held(comparison: Comparison) -> None:
    (table,) = cache_tables(comparison)
    lines = {line[0]: dict(zip(table.heads, line, strict=True)) for line in table.rows}
    assert list(lines) == ["none", "kv_random keep 0.5", "kv_random keep 0.5 (question=seen)"]
    mine = lines["kv_random keep 0.5"]
    assert mine == {
        "run": "kv_random keep 0.5",
        "question": "unseen",
        "held": "747.0 KiB",
        "of": "1.5 MiB",
        "share": "50.0 %",
        "codes": "373.5 KiB",
        "scales": "186.8 KiB",
        "exact": "186.8 KiB",
        "at the end": "1.5 MiB",
        "reading": "64.0 KiB",
        "shared": "2.0 KiB",
        "tokens a layer": "40 to 120",
    }
    # Not measured is no zero.
    assert lines["kv_random keep 0.5 (question=seen)"]["codes"] == "-"
    assert lines["none"]["share"] == "100.0 %"


def test_the_table_is_in_every_form(comparison: Comparison, report: Report) -> None:
    shown = terminal(comparison).splitlines()
    start = shown.index("What the KV cache held")
    assert shown[start + 1].split()[:4] == ["run", "question", "held", "of"]
    assert "## What the KV cache held" in markdown_report(comparison)
    assert "{747.0 KiB (50.0 \\%)}" in latex_table(comparison)
    assert "kv_cache.tex" in report.files
    rows = [
        line
        for line in (report.folder / "kv_cache.tex").read_text().splitlines()
        if line.endswith(r"\\")
    ]
    assert len(rows) == 4
    assert {row.count(" & ") for row in rows} == {11}
    page = (report.folder / "report.html").read_text()
    assert '<h4>What the KV cache held</h4><div class="scroll"><table class="published">' in page
    assert "kv_components" in [figure.name for figure in report.figures]


def test_the_csv_has_the_cache_s_numbers(comparison: Comparison) -> None:
    rows = {row["run_id"]: row for row in csv.DictReader(io.StringIO(csv_table(comparison)))}
    mine, toks = rows["mine"], rows["toks"]
    assert (mine["question"], toks["question"]) == ("unseen", "")
    assert float(mine["kv_share"]) == pytest.approx(0.5)
    assert float(mine["kv_codes_bytes"]) == FULL // 4
    assert float(mine["kv_read_bytes"]) == 65536
    assert (mine["kv_ms_median"], mine["decode_token_ms_median"]) == ("3.25", "11.5")
    # Of before the cache was taken apart.
    assert (toks["kv_share"], toks["kv_codes_bytes"]) == ("", "")


def test_bars_are_as_long_as_the_cache_and_its_words_say_the_same(comparison: Comparison) -> None:
    with style():
        ((figure, text),) = cache_figures(comparison)
        renderer = FigureCanvasAgg(figure).get_renderer()
    (panel,), (box,) = figure.axes, figure.legends
    names = [entry.get_text() for entry in box.get_texts()]
    assert set(names) == {
        "codes",
        "scales",
        "exact",
        "as the model made it",
        "held after the answer",
    }
    place = 1  # after the baseline
    bars = [bar for bar in panel.patches if bar.get_y() < place < bar.get_y() + bar.get_height()]
    assert sum(bar.get_width() for bar in bars) == pytest.approx(FULL / 2 / 2**20)
    assert max(bar.get_x() + bar.get_width() for bar in bars) == pytest.approx(FULL / 2 / 2**20)
    made, after = panel.lines
    assert list(made.get_xdata()) == pytest.approx([FULL / 2**20] * 3)
    assert list(after.get_ydata()) == [place]
    assert (
        "kv_random keep 0.5: codes 373.5 KiB, scales 186.8 KiB, exact 186.8 KiB of 1.5 MiB" in text
    )
    below = panel.xaxis.label.get_window_extent(renderer)
    assert not box.get_window_extent(renderer).overlaps(below)


def test_seen_and_unseen_have_looks_and_a_pareto_set_of_their_own(comparison: Comparison) -> None:
    found = looks(comparison)
    assert list(found) == ["kv_random", "kv_random, question seen", "token"]
    assert len(set(found.values())) == 3
    cache = next(axis for axis in AXES if axis.name == "kv_cache_bytes")
    with style():
        (figure,) = budget_figures(comparison, cache)
        renderer = FigureCanvasAgg(figure).get_renderer()
        figure.draw_without_rendering()
        (panel,) = figure.axes
        entries = panel.get_legend().get_texts()
        names = [entry.get_text() for entry in entries]
        assert {"Pareto set", "Pareto set, question seen"} <= set(names)
        assert {"kv_random (control)", "kv_random, question seen (control)"} <= set(names)
        inside = panel.get_legend().get_window_extent(renderer)
        assert figure.bbox.x0 <= inside.x0
        assert inside.x1 <= figure.bbox.x1


def test_a_sample_says_what_happened_to_its_cache(report: Report) -> None:
    whole = record("s", 1.0)
    assert cache_facts(whole) == [("KV cache", "1.5 MiB")]
    ours = record("s", 0.5, **cached(0.25, "seen", **{**QUANTISED, "later_score": 0.125}))
    assert cache_facts(ours) == [
        ("KV cache", "373.5 KiB of 1.5 MiB (25.0 %), question seen"),
        ("KV cache holds", "codes 373.5 KiB, scales 186.8 KiB, exact 186.8 KiB"),
        ("KV tokens a layer", "40 to 120 of 166"),
        ("KV at the end", "1.5 MiB, reading 64.0 KiB"),
        ("KV / a token ms", "3.2 / 11.5"),
        ("later score", "0.125"),
    ]
    simulated = record("s", 0.5, **cached(1.0, kv_simulated=True))
    assert cache_facts(simulated)[-1] == ("KV simulated", "yes: the cache got no smaller")
    page = (report.folder / "report.html").read_text()
    found = re.search(r'id="s0-0">([^<]+)<', page)
    assert found is not None
    block = json.loads(zlib.decompress(base64.b64decode(found[1])))
    facts = [dict(run["facts"]) for run in block["runs"].values()]
    assert [fact["KV cache"].partition(", ")[2] for fact in facts] == [
        "",
        "question unseen",
        "question seen",
        "",
    ]
