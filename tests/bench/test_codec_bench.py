"""The codec bench: Pareto sets, BD-rate, rows that survive a kill, tables; its reader of lines."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import codecs
from bench.codec_documents import Document, break_even, document_table, measured_documents
from bench.codec_figures import bd_rate, pareto, rate_figure
from bench.codec_leaders import leaders, pairs, readable, smallest
from bench.codec_measure import in_processes, one_by_one
from bench.codec_pages import FIRST, Amount, Material, line_boxes, materials, scanned, text_pages
from bench.codec_quality import counted_bytes
from bench.codec_reading import LineErrors, Readings, error_interval, line_errors
from bench.codec_report import comparison, sentence, tables, write_docs
from bench.codec_rows import TABLE, Row, Rows, load_rows, origin
from bench.codec_settings import SETTINGS, built
from bench.codec_texts import GREEK, prose, table
from freqexp.benchmarks.legibility import edit_distance
from freqexp.codecs.base import decode
from freqexp.codecs.symbols.priors import FOLDER, load_prior
from freqexp.coding.adaptive import Adaptive, Integers, Writer
from freqexp.coding.share import page_share
from freqexp.errors import ConfigError, UserError
from freqexp.nouns.page import Page, Pixels
from freqexp.readers.recogniser.lines import line_input

NONE = Row(
    FIRST, "yes", "none", "", 2, 1000, 0, 99, 1, 1000, 1, 0.0, 0.4, 20, 0, 0, 0, 50
)  # fmt: skip
PRIOR = "glyph_14.fqxp"
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


class Blind:
    """Reads nothing: every line is without an error."""

    def errors(self, page: Pixels, boxes: Sequence[Any]) -> list[LineErrors]:
        return [LineErrors(9, 0, 1, 0) for _ in boxes]


def test_nothing_is_measured_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("skimage")
    settings = {"none": ("",), "png": ("", "posterized=2"), "block_vq": ("keep_ratio=0.01",)}
    monkeypatch.setattr(codecs, "SETTINGS", settings)
    where = small_material()
    rows = Rows(tmp_path, ORIGIN)
    blind: Any = Blind()
    codecs.measure([where], tuple(settings), rows, partial(one_by_one, readings=blind))
    assert len(rows.rows) == len(rows.keys) == 4
    assert rows.rows[0].bytes == where.pages[0].pixels.nbytes
    assert rows.rows[0].characters == 9 * len(where.boxes[0])
    assert rows.rows[3].share_bytes > 0
    png = next(r for r in rows.rows if r.codec == "png")
    assert png.psnr_db == 99
    assert png.ssim == 1
    assert len({r.bytes for r in rows.rows}) == 4
    asked: list[Any] = []

    def rows_of(todo: Sequence[Any]) -> Sequence[Any]:
        asked.append(todo)
        return []

    codecs.measure([where], tuple(settings), Rows(tmp_path, ORIGIN), rows_of)
    assert asked == [[]]
    assert load_rows(tmp_path) == rows.rows
    assert any("| block_vq |" in line for line in tables(rows.rows))


def test_processes_measure_what_one_does(tmp_path: Path) -> None:
    pytest.importorskip("skimage")
    pytest.importorskip("rapidocr")
    first = small_material()
    todo = [
        (where, codec, setting)
        for where in (first, replace(first, name="the same"))
        for codec, setting in (("none", ""), ("png", "posterized=2"), ("strips", ""))
    ]
    alone = list(one_by_one(todo, Readings(tmp_path)))
    together = list(in_processes(todo, 2, tmp_path))

    def of(rows: Sequence[Row]) -> set[Row]:
        return {replace(row, encode_ms=0.0, decode_ms=0.0) for row in rows}

    assert len(alone) == len(together) == 6
    assert of(alone) == of(together)
    with pytest.raises(ConfigError):
        list(in_processes([(first, "strips", "compressor.levels=0")], 2, tmp_path))


def small_material() -> Material:
    pages = text_pages(1)
    page = replace(pages[0], pixels=np.ascontiguousarray(pages[0].pixels[:60, :200]))
    return Material(FIRST, "yes", [page], [line_boxes(page, 10, 16, 2)])


def test_a_page_counts_a_hundredth_of_its_prior() -> None:
    page = small_material().pages[0].pixels
    for name, setting, share in (
        ("symbols", "compressor.levels=2", page_share(load_prior(FOLDER / PRIOR).size_bytes)),
        ("symbols", "compressor.levels=256 compressor.prior=null", 0),
        ("strips", "compressor.levels=256 compressor.coder=xz", 0),
    ):
        assert setting in SETTINGS[name]
        codec = built(name, setting)
        assert codec is not None
        data = codec.encode(page)
        assert counted_bytes(codec, data) - len(data) == share
        assert ("256" in setting) == np.array_equal(decode(data), page)


def test_twelve_materials_and_their_boxes() -> None:
    found = list(materials(Amount(1, 3, 1, 2)))
    trained = {m.name: m.trained for m in found}
    assert len(trained) == len(found) == 12
    assert [name for name, how in trained.items() if how == "yes"] == [
        *("sans 14", "sans 12", "cells 23.25"),
    ]
    assert found[0].name == FIRST
    assert found[0].pages[0].pixels.shape == (842, 595)
    for material in found:
        boxes, page = material.boxes[0], material.pages[0]
        assert len(boxes) == (3 if material is found[0] else 2)
        for (rows, columns), text in boxes:
            assert text in page.text
            assert page.pixels[rows, columns].min() < 128
            assert page.pixels[rows, columns.stop - 5 :].min(initial=255) >= 128
    pages = {m.name: m.pages[0] for m in found}
    assert any("\u0370" <= c <= "\u03ff" for c in pages["Greek"].text)
    assert all(c in pages["accents"].text for c in "éüß")
    assert "\ufffd" not in "".join(page.text for page in pages.values())
    assert "    " in pages["code"].text
    # All 51 lines of the table stand on one page, each in one row.
    assert len(pages["table"].text.split("\n")) == 51


def test_a_box_ends_right_of_its_ink() -> None:
    pixels = np.full((22, 50), 255, dtype=np.uint8)
    pixels[11, 20] = 0
    found = line_boxes(Page(pixels, "a\n\n b ", ()), 10, 4, 9)
    assert found == [
        ((slice(10, 14), slice(0, 31)), "a"),
        ((slice(18, 22), slice(0, 50)), "b"),
    ]


def test_written_text_is_the_same_each_time_and_goes_on() -> None:
    text = prose("x", (GREEK,), 500)
    assert text == prose("x", (GREEK,), 500) != prose("y", (GREEK,), 500)
    assert prose("x", (GREEK,), 3000).startswith(text)
    rows = table(40).split("\n")
    widths = {sum(2 if c.isdigit() else 1 for c in r) for r in rows}
    assert len(widths) == 1
    assert table(50).startswith(table(40))


def test_a_scan_is_the_page_with_a_scanners_faults() -> None:
    page = np.full((60, 40), 255, dtype=np.uint8)
    page[20:24] = 0
    found = scanned(page, 0)
    np.testing.assert_array_equal(found, scanned(page, 0))
    assert (found != scanned(page, 1)).any()
    assert found[20:24].mean() < 80 < 200 < found[:10].mean() < 250
    assert len(np.unique(found[:10])) > 5


def edits(one: str, other: str) -> set[tuple[int, int]]:
    """(edits, digits for digits) of every way from one text to the other, the slow way."""
    if not one or not other:
        return {(len(one) + len(other), 0)}
    change = (one[0] != other[0], one[0] != other[0] and one[0].isdigit() and other[0].isdigit())
    return (
        {(n + 1, d) for n, d in edits(one[1:], other) | edits(one, other[1:])}
        | {(n + change[0], d + change[1]) for n, d in edits(one[1:], other[1:])}
    )  # fmt: skip


@pytest.mark.parametrize(
    ("read", "text"),
    [("a1b", "a7b"), ("12", "31"), ("7a", "17"), ("abc", "a2c"), ("", "15"), ("1 2", "3 2")],
)
def test_digits_read_as_others_are_counted_apart(read: str, text: str) -> None:
    found = line_errors(read, text)
    ways = edits(read, text)
    least = min(n for n, _ in ways)
    assert found.errors == least == edit_distance(read, text)
    assert found.digits_wrong == max(d for n, d in ways if n == least)
    assert found.digits == sum(map(str.isdigit, text))
    assert found.characters == len(text)


def test_spaces_between_columns_are_not_read() -> None:
    assert line_errors("1 2.50", "1    2.50") == LineErrors(5, 0, 4, 0)
    assert line_errors("12.50", "1    2.50").errors == 0
    assert line_errors("ab", "a b").errors == 1
    assert line_errors("a  b", "a b").errors == 0


def test_errors_that_come_together_are_less_sure() -> None:
    even = [LineErrors(50, 1, 0, 0)] * 20
    together = [LineErrors(50, 20, 0, 0)] + [LineErrors(50, 0, 0, 0)] * 19
    for lines in (even, together):
        low, high = error_interval(lines)
        assert low <= 0.02 <= high
    assert error_interval(together)[1] > 2 * error_interval(even)[1]
    # Without an error in 20 lines 3.25 more lines, each with one error, may be among 20.
    low, high = error_interval([LineErrors(50, 0, 0, 0)] * 20)
    assert low == 0
    assert 0.5 / 1000 < high < 4 / 1000


def test_lines_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rapidocr")
    asked = []

    class Reader:
        def read(self, line: Pixels) -> str:
            asked.append(line.shape)
            return f"{line.mean():.0f}"

    monkeypatch.setattr("freqexp.readers.recogniser.lines.line_reader", Reader)
    page = np.arange(200, dtype=np.uint8).reshape(20, 10)
    boxes = [((slice(0, 5), slice(0, 10)), "24"), ((slice(5, 10), slice(0, 8)), "72")]
    readings = Readings(tmp_path)
    assert [line.errors for line in readings.errors(page, boxes)] == [0, 1]
    readings.errors(page, boxes)
    with (tmp_path / "readings.jsonl").open("a") as file:
        file.write('{"cut')
    assert [line.errors for line in Readings(tmp_path).errors(page, boxes)] == [0, 1]
    assert asked == [(5, 10), (5, 8)]


def test_who_leads_where() -> None:
    rows = [NONE]
    rows += [row("symbols", 10, 1, setting="levels=2"), row("symbols", 40, 1, 99, "prior=null")]
    rows = [replace(r, share_bytes=5.0 * (r.setting == "levels=2")) for r in rows]
    rows += [row("jb2", 20, 2), row("block_vq", 30, 1, 37), row("posterize", 25, 1, 99)]
    # The same, but with text that can't be read: no claim below 36 dB.
    rows += [replace(r, material="Greek", errors=500) for r in rows]
    found = pairs(rows)
    assert [pair.ratio for pair in found["readable"].values()] == [0.5, 30 / 25]
    assert [pair.ratio for pair in found["36 dB"].values()] == [30 / 25] * 2
    assert [pair.ratio for pair in found["lossless"].values()] == [40 / 25] * 2
    assert found["nothing trained"][FIRST].ratio == 30 / 20
    text = "\n".join(leaders(rows))
    assert "| Greek | yes | 50.00, not read | block_vq 30 / posterize 25 | 1.20 |" in text
    most = "at most 1.20 times the best rival (Greek)"
    assert f"- readable: ours on 1 of 2 materials, {most}; posterize on Greek" in text
    assert "\n".join(leaders(rows[:1])).count("ours on 0 of 1 materials\n") == 4
    assert "fewer bytes, 36 dB, than symbols: sans 14, Greek; than the best rival: nowhere" in text
    said = "\n".join(sentence(rows))
    assert "takes 10 bytes (mean of 2)" in said
    assert "20 with the best rival (`jb2`): -50 %." in said
    assert "With nothing trained it is 30 (`block_vq`): +50 %." in said
    assert "1 of 2 (readable), 0 of 2 (36 dB), 0 of 2 (lossless), 0 of 2 (nothing trained)" in said


def test_a_document_counts_its_file_once() -> None:
    with_file = Document("symbols", "levels=2", [10, 12], 100)
    without = Document("symbols", "levels=2 prior=null", [30, 32], 0)
    assert [with_file.bytes_of(n) for n in (1, 2, 10)] == [110, 122, 210]
    # 100 bytes are saved after five pages of 20 bytes each.
    assert break_even(with_file, without) == 5
    assert break_even(without, with_file) == 1
    assert break_even(replace(with_file, sizes=[40, 40]), without) is None
    text = "\n".join(document_table([with_file, without]))
    assert "| symbols | levels=2 | 100 | 110 | 122 | 210 | 1,200 |" in text
    assert "beats itself without one from 5 pages on" in text


def test_documents_are_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = (("symbols", "compressor.levels=2"), ("png", ""))
    monkeypatch.setattr("bench.codec_documents.CASES", cases)
    monkeypatch.setattr("bench.codec_documents.text_pages", lambda n: small_material().pages * n)
    found = measured_documents(tmp_path, 2, "aa")
    side = load_prior(FOLDER / PRIOR).size_bytes
    assert [one.codec for one in found] == ["symbols", "png"]
    assert side <= found[0].side < side + 100
    assert found[1].side == 0
    assert found[1].sizes[0] == found[1].sizes[1] > 100
    monkeypatch.setattr("bench.codec_documents.built", None)
    assert measured_documents(tmp_path, 2, "aa") == found
    with pytest.raises(TypeError):
        measured_documents(tmp_path, 2, "bb")


def test_the_range_coder_is_within_two_percent_of_its_models_cost() -> None:
    class Counting(Writer):
        bits = 0.0

        def symbol(self, weights: Integers, value: int | None) -> int:
            self.bits -= math.log2(weights[value] / weights.sum())
            return super().symbol(weights, value)

    values = np.random.default_rng(0).geometric(0.3, 3000).clip(1, 40) - 1
    coder, model = Counting(), Adaptive(40)
    for before, value in itertools.pairwise(map(int, values)):
        model.code(coder, value, before > 2)
    assert coder.bits <= 8 * len(coder.data()) <= 1.02 * coder.bits


def test_docs_get_tables_and_a_figure(tmp_path: Path) -> None:
    rows = [NONE, row("posterize", 60, 1), row("block_vq", 30, 1)]
    page = tmp_path / "codecs.md"
    places = "".join(
        f"<!-- codecs: {n} -->\nold\n<!-- /codecs -->\n"
        for n in ("comparison", "leaders", "documents", "tables")
    )
    page.write_text(f"before\n{places}after\n")
    write_docs([page], rows, [Document("png", "", [5], 0)], ORIGIN)
    text = page.read_text()
    assert "old" not in text
    assert "| block_vq 30 / posterize 60 | 0.50 |" in text
    assert "| png |  |  | 5 | 10 | 50 | 500 |" in text
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "Commit 0123456, x 1, cpu." in text
    assert (tmp_path / "figures" / "codecs.png").stat().st_size < 150_000
    for text in ("no place", "<!-- codecs: other -->\n<!-- /codecs -->"):
        page.write_text(text)
        with pytest.raises(UserError, match="no places for"):
            write_docs([page], rows, [], ORIGIN)


def test_a_figure_of_rows_without_errors(tmp_path: Path) -> None:
    path = tmp_path / "figure.png"
    rate_figure([replace(NONE, errors=0), row("jxl", 10, 0)], "title", path)
    assert path.stat().st_size > 1000


@pytest.mark.parametrize(
    "arguments",
    [["--pages", "0"], ["--other-lines", "1"], ["--quick", "--docs", "x.md"], ["--codecs", "gif"]],
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
    (page,) = text_pages(1)
    for place, text in line_boxes(page, 10, 16, 2):
        read = pretrained.read(page.pixels[place])
        assert edit_distance(read, text) <= 1
        # The same pixels are not read again.
        assert pretrained.read(page.pixels[place].copy()) is read
    assert pretrained.read(np.full((16, 100), 255, dtype=np.uint8)) == ""
