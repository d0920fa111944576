"""The codec bench: Pareto sets, BD-rate, rows that survive a kill, tables; its reader of lines."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import codecs
from bench.codec_documents import Document, break_even, document_table, measured_documents
from bench.codec_figures import bd_rate, pareto, rate_figure
from bench.codec_leaders import leaders, pairs, readable, smallest
from bench.codec_pages import FIRST, Amount, Material, line_boxes, materials, scanned
from bench.codec_quality import counted_bytes
from bench.codec_reading import LineErrors, Readings, error_interval, line_errors
from bench.codec_report import comparison, sentence, tables, write_docs
from bench.codec_rows import TABLE, Row, Rows, load_rows, origin
from bench.codec_settings import SETTINGS, built
from bench.codec_texts import GREEK, prose, table
from freqexp.benchmarks.legibility import edit_distance
from freqexp.errors import UserError
from freqexp.readers.recogniser.lines import line_input

NONE = Row(
    FIRST, "yes", "none", "", 2, 1000, 0, 99, 1, 1000, 1, 0.0, 0.4, 20, 0, 0, 0, 50
)  # fmt: skip
ORIGIN = {
    "measured": "aa",
    "commit": "0123456789",
    "dirty": False,
    "versions": {"x": "1"},
    "host_kind": "cpu",
}


def row(codec: str, size: float, errors: int, psnr_db: float = 30, setting: str = "") -> Row:
    return replace(NONE, codec=codec, bytes=size, errors=errors, psnr_db=psnr_db, setting=setting)


def test_the_pareto_set_is_what_nothing_beats() -> None:
    rows = [row("a", 10, 9), row("b", 20, 5), row("c", 20, 6), row("d", 30, 5), row("e", 40, 0)]
    assert pareto(rows) == [True, True, False, False, True]
    assert pareto([row("a", 10, 1), row("b", 10, 1)]) == [True, True]


def test_bd_rate_of_a_curve_that_is_always_a_tenth_smaller() -> None:
    anchor = [(20.0, 100.0), (30.0, 200.0), (40.0, 800.0)]
    assert bd_rate(anchor, [(p, 0.9 * size) for p, size in anchor]) == pytest.approx(-10)
    assert bd_rate(anchor, anchor) == pytest.approx(0)


def test_bd_rate_computed_by_hand() -> None:
    # Over 20 to 30 dB the logarithm of the ratio rises linearly from 0 to ln 4: its mean is ln 2,
    # and the curve takes twice the bytes. What lies beyond 30 dB is only in one curve.
    anchor = [(20.0, 100.0), (30.0, 100.0), (50.0, 9000.0)]
    assert bd_rate(anchor, [(30.0, 400.0), (20.0, 100.0)]) == pytest.approx(100)
    # A corner at 25 dB in one curve alone: the mean of two triangles, each of height ln 4.
    assert bd_rate(anchor[:2], [(20.0, 100), (25.0, 400), (30.0, 100)]) == pytest.approx(100)


def test_bd_rate_is_nothing_without_a_range_in_common() -> None:
    anchor = [(20.0, 100.0), (30.0, 200.0)]
    assert math.isnan(bd_rate(anchor, [(29.5, 1.0), (40.0, 2.0)]))
    assert math.isnan(bd_rate(anchor, [(25.0, 1.0)]))


def test_the_smallest_readable_setting_of_each_codec() -> None:
    # none has 0.1 %: 0.3 % is readable, 0.4 % is not.
    rows = [NONE, row("posterize", 60, 3), row("posterize", 40, 4), row("jpeg", 10, 4)]
    rows += [row("block_vq", 30, 1, setting="keep_ratio=0.3")]
    found = smallest(rows, readable(rows))
    assert found == {"posterize": rows[1], "jpeg": None, "block_vq": rows[4]}
    text = "\n".join(comparison(rows))
    assert "| block_vq | keep_ratio=0.3 | 30 |" in text
    assert "-50 % against posterize (60)" in text
    assert "No setting is within the limit: jpeg." in text


def test_a_killed_run_loses_only_the_row_it_was_writing(tmp_path: Path) -> None:
    rows = Rows(tmp_path, ORIGIN)
    rows.add(NONE)
    rows.add(row("png", 500.5, 0, setting="a b"))
    with (tmp_path / TABLE).open("a") as file:
        file.write("sans 14,yes,jp")
    assert load_rows(tmp_path) == rows.rows
    again = Rows(tmp_path, ORIGIN)
    assert again.rows == rows.rows
    again.add(row("jpeg", 3, 0))
    assert [r.codec for r in load_rows(tmp_path)] == ["none", "png", "jpeg"]


def test_rows_of_other_code_are_put_aside(tmp_path: Path) -> None:
    Rows(tmp_path, ORIGIN).add(NONE)
    other = Rows(tmp_path, {**ORIGIN, "measured": "bb"})
    assert other.rows == []
    other.add(row("png", 1, 0))
    assert Rows(tmp_path, ORIGIN).rows == [NONE]
    assert [r.codec for r in Rows(tmp_path, {**ORIGIN, "measured": "bb"}).rows] == ["png"]
    assert json.loads((tmp_path / "table.json").read_text())["measured"] == "bb"


def test_what_is_measured_depends_on_the_amount() -> None:
    one, other = origin(Amount()), origin(Amount(pages=3))
    assert one["measured"] != other["measured"]
    assert one == origin(Amount())


def test_nothing_is_measured_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codecs, "reading_errors", lambda page, boxes: 0)
    pytest.importorskip("skimage")
    settings = {"none": ("",), "png": ("", "posterized=2"), "block_vq": ("keep_ratio=0.01",)}
    monkeypatch.setattr(codecs, "SETTINGS", settings)
    where = small_material()
    rows = Rows(tmp_path, ORIGIN)
    codecs.measure([where], tuple(settings), rows)
    assert len(rows.rows) == len(rows.keys) == 4
    assert rows.rows[0].bytes == where.pages[0].pixels.nbytes
    png = next(r for r in rows.rows if r.codec == "png")
    assert png.psnr_db == 99
    assert png.ssim == 1
    assert len({r.bytes for r in rows.rows}) == 4
    monkeypatch.setattr(codecs, "measured", None)
    codecs.measure([where], tuple(settings), Rows(tmp_path, ORIGIN))
    assert load_rows(tmp_path) == rows.rows
    assert any("| block_vq |" in line for line in tables(rows.rows))


def small_material() -> Material:
    whole = next(iter(materials(Amount(1, 2, 1, 2))))
    page = replace(whole.pages[0], pixels=np.ascontiguousarray(whole.pages[0].pixels[:60, :200]))
    return replace(whole, pages=[page])


def test_pages_of_text_and_their_boxes() -> None:
    found = list(materials(Amount(1, 3, 1, 2)))
    assert [(m.renderer, m.font_px, m.in_codebook) for m in found] == [
        ("glyph", 14, True),
        ("glyph", 12, True),
        ("glyph", 13, False),
        ("cells", 23.25, True),
        ("cells", 16.5, False),
    ]
    assert found[0].pages[0].pixels.shape == (842, 595)
    for material in found:
        boxes, page = material.boxes[0], material.pages[0]
        assert len(boxes) == (3 if material is found[0] else 2)
        for rows, text in boxes:
            assert text in page.text
            assert page.pixels[rows].min() < 128
    assert line_boxes("a\n\n b ", 10, 4, 9) == [(slice(10, 14), "a"), (slice(18, 22), "b")]


def test_docs_get_tables_and_a_figure(tmp_path: Path) -> None:
    rows = [NONE, row("posterize", 60, 1), row("block_vq", 30, 1)]
    page = tmp_path / "codecs.md"
    places = "".join(
        f"<!-- codecs: {n} -->\nold\n<!-- /codecs -->\n"
        for n in ("comparison", "elsewhere", "tables")
    )
    page.write_text(f"before\n{places}after\n")
    write_docs(page, rows, ORIGIN)
    text = page.read_text()
    assert "old" not in text
    assert "| block_vq | 30 | 0.10 | posterize | 60 | 0.10 | -50 % |" in text
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "Commit 0123456, x 1, cpu." in text
    assert (tmp_path / "figures" / "codecs.png").stat().st_size < 150_000
    page.write_text("no place")
    with pytest.raises(UserError, match="no places for"):
        write_docs(page, rows, ORIGIN)


def test_a_figure_of_rows_without_errors(tmp_path: Path) -> None:
    path = tmp_path / "figure.png"
    rate_figure([replace(NONE, errors=0), row("jxl", 10, 0)], "title", path)
    assert path.stat().st_size > 1000


@pytest.mark.parametrize(
    "arguments",
    [["--pages", "0"], ["--other-lines", "-1"], ["--quick", "--docs", "x.md"], ["--codecs", "gif"]],
)
def test_arguments_out_of_range_are_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        codecs.main(arguments)
    assert caught.value.code == 2
    assert "usage" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("one", "other", "distance"),
    [("", "", 0), ("", "abc", 3), ("kitten", "sitting", 3), ("abc", "abc", 0), ("ab", "ba", 2)],
)
def test_edit_distance(one: str, other: str, distance: int) -> None:
    assert edit_distance(one, other) == edit_distance(other, one) == distance


def test_a_line_is_scaled_to_the_recognisers_rows() -> None:
    line = np.full((16, 200), 255, dtype=np.uint8)
    found = line_input(line)
    assert found.shape == (1, 3, 48, 640)
    # White, then zeros up to a whole number of steps.
    np.testing.assert_array_equal(found[..., :600], 1)
    np.testing.assert_array_equal(found[..., 600:], 0)
    colour = np.repeat(line[..., np.newaxis], 3, axis=2)
    np.testing.assert_array_equal(line_input(colour), found)


@pytest.fixture
def pretrained() -> Any:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("rapidocr")
    from freqexp.readers.recogniser.lines import line_reader

    return line_reader()


def test_the_line_reader_reads_pages_as_they_are(pretrained: Any) -> None:
    material = next(iter(materials(Amount(1, 2, 1, 1))))
    page = material.pages[0].pixels
    for rows, text in material.boxes[0]:
        read = pretrained.read(page[rows])
        assert edit_distance(read, text) <= 1
        # The same pixels are not read again.
        assert pretrained.read(page[rows].copy()) is read
    assert pretrained.read(np.full((16, 100), 255, dtype=np.uint8)) == ""
