"""The published column beside ours, for runs that have a published table's settings."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from report_runs import CONFIG, write_run, write_sweep

from freqexp.comparing.compare import compare
from freqexp.comparing.comparison import Comparison
from freqexp.comparing.load import load
from freqexp.config.run import RunConfig
from freqexp.published.beside import recognised
from freqexp.report import published
from freqexp.report.__main__ import main
from freqexp.schemas.choices import Fit
from freqexp.schemas.codecs import BlockDctConfig
from freqexp.schemas.needles import NeedlesConfig
from freqexp.schemas.tokens import TokenConfig

PAPER_DCT = BlockDctConfig(fit=Fit.resize, bitstream=False)


def share(hits: int, total: int = 250) -> list[float]:
    return [1.0] * hits + [0.0] * (total - hits)


def glyph(needles: int = 2) -> RunConfig:
    """As the paper ran it: Glyph on MRCR's files."""
    return replace(
        CONFIG,
        model=replace(CONFIG.model, name="glyph"),
        needles=NeedlesConfig(count=needles, path="mrcr"),
    )


def table1(
    outputs: Path,
    before: Sequence[float],
    after: Sequence[float],
    config: RunConfig = CONFIG,
) -> Comparison:
    """The runs of Table 1 for each number of needles, compared."""
    for count in (2, 4, 8):
        cfg = replace(config, needles=replace(config.needles, count=count))
        data = {"data_hash": str(count)}
        base = f"base{count}"
        write_run(outputs, base, before, config=cfg, needles=count, provenance=data)
        write_run(
            outputs,
            f"half{count}",
            after,
            PAPER_DCT,
            config=cfg,
            needles=count,
            provenance=data,
            baseline_run_id=base,
            nominal_ratio=2.0,
            png_bytes_after=9_000,
        )
    return compare(load([str(outputs)]))


def test_runs_of_no_paper_experiment_have_no_published_column(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path, "base", share(3, 4))
    write_run(tmp_path, "dct", share(3, 4), BlockDctConfig(), png_bytes_after=9_000)
    write_run(tmp_path, "tok", share(2, 4), TokenConfig())
    write_run(tmp_path, "half", share(3, 4), PAPER_DCT, nominal_ratio=2.0)
    assert recognised(compare(load([str(tmp_path)]))) == []
    out = tmp_path / "report"
    assert main([str(tmp_path), "--out", str(out), "--images", "0"]) == 0
    assert "ublished" not in capsys.readouterr().out
    assert not list(out.glob("published*"))
    assert "ublished" not in (out / "report.md").read_text()
    assert "Published beside ours" not in (out / "report.html").read_text()


def test_a_table_with_all_its_runs_is_the_only_one_shown(tmp_path: Path) -> None:
    """The runs of Table 1 have settings of Table 3, too, whose other runs are missing."""
    (found,) = recognised(table1(tmp_path, share(88), share(90)))
    assert found.experiment == "paper_table1"
    assert len(found.cells) == 12
    assert not any("not among these runs" in note for note in found.notes)


@pytest.mark.parametrize("by", ["sweep", "run"])
def test_a_part_of_a_table_is_shown_when_it_was_started_as_its_experiment(
    tmp_path: Path, by: str
) -> None:
    config = CONFIG if by == "sweep" else replace(CONFIG, sweep_name="part")
    write_run(tmp_path, "base", share(3, 4), config=config)
    write_run(tmp_path, "half", share(3, 4), PAPER_DCT, nominal_ratio=2.0, config=config)
    folder = write_sweep(tmp_path, "part", ["base", "half"])
    target = "part" if by == "sweep" else str(tmp_path / "runs")
    assert recognised(compare(load([target], str(tmp_path)))) == []
    plan = json.loads((folder / "sweep.json").read_text())
    plan["runs"][1]["overrides"] = ["experiment=paper_table1", "needles=2"]
    (folder / "sweep.json").write_text(json.dumps(plan))
    (found,) = recognised(compare(load([target], str(tmp_path))))
    assert found.experiment == "paper_table1"
    assert not [cell for cell in found.cells if "8 needles" in cell.run]
    assert "image DCT 50 %, 8 needles" in found.notes[0]


@pytest.mark.parametrize(
    "points", [None, "x", [1, {"run_id": "half"}, {"run_id": "half", "overrides": 3}]]
)
def test_a_sweep_file_that_was_edited_costs_only_the_column(tmp_path: Path, points: object) -> None:
    config = replace(CONFIG, sweep_name="part")
    write_run(tmp_path, "base", share(3, 4), config=config)
    write_run(tmp_path, "half", share(3, 4), PAPER_DCT, nominal_ratio=2.0, config=config)
    folder = write_sweep(tmp_path, "part", [])
    (folder / "sweep.json").write_text(json.dumps({"runs": points}))
    assert recognised(compare(load([str(tmp_path / "runs")]))) == []


def test_every_form_has_published_ours_difference_verdict_and_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table1(tmp_path, share(88), share(10), glyph())
    out = tmp_path / "report"
    assert main([str(tmp_path), "--out", str(out), "--images", "0"]) == 0
    shown = capsys.readouterr().out
    lines = [line for line in shown.splitlines() if line.startswith("image DCT 50 %, 2 needles")]
    assert len(lines) == 1
    for part in (
        "35.86 %",
        "4.00 [2.07, 7.08] %",
        "-31.86 points",
        "differs",
        "glyph, 250 samples",
    ):
        assert part in lines[0]
    said = " ".join(shown.split())
    assert 'on glyph, 250 samples: DOES NOT HOLD: "Half of the coefficients cost no' in said
    row = next(
        row
        for row in csv.DictReader(io.StringIO((out / "published.csv").read_text()))
        if row["name"] == "image DCT 50 %, 2 needles"
    )
    assert float(row["published"]) == 0.3586
    assert float(row["ours"]) == pytest.approx(0.04)
    assert float(row["ours_low"]) < 0.04 < float(row["ours_high"])
    assert float(row["difference"]) == pytest.approx(0.04 - 0.3586)
    assert (row["verdict"], row["on"]) == ("differs", "glyph, 250 samples")
    page = (out / "report.html").read_text()
    assert '<figure class="wide">' in page, "three groups beside each other"
    for name in ("report.md", "report.html", "published.tex"):
        text = (out / name).read_text()
        for part in ("35.86", "differs", "does not hold", "glyph, 250 samples"):
            assert part in text


def test_on_another_model_nothing_is_compared_and_it_is_said_why(tmp_path: Path) -> None:
    comparison = table1(tmp_path, share(88), share(90))
    shown = published.terminal(recognised(comparison))
    assert "of 12 published numbers 12 not comparable" in shown
    assert "fake, published: glyph" in shown
    rows = list(csv.DictReader(io.StringIO(published.csv_table(recognised(comparison)))))
    assert {row["difference"] for row in rows if row["kind"] == "number"} == {""}


def test_the_files_of_an_earlier_report_do_not_stay(tmp_path: Path) -> None:
    table1(tmp_path / "paper", share(3, 4), share(3, 4))
    write_run(tmp_path / "other", "base", share(3, 4))
    out = str(tmp_path / "report")
    for runs, expected in (("paper", True), ("other", False)):
        assert main([str(tmp_path / runs), "--out", out, "--images", "0"]) == 0
        assert (tmp_path / "report" / "published.csv").is_file() is expected
