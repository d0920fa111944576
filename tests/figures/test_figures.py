"""Figures of pages, spectra and residuals, and the numbers beside them."""

from __future__ import annotations

import csv
import math
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from freqexp.coding.transforms import dct_matrix
from freqexp.errors import UserError
from freqexp.figures.__main__ import main
from freqexp.figures.recall import Recall, draw_recall, page_recall, tiny_recalls
from freqexp.figures.studies import milestone_study, paper_study
from freqexp.figures.study import Study, draw_study, mean_magnitude, psnr_db, restore
from freqexp.nouns.page import Page, Pixels, png_size_bytes


@pytest.fixture(scope="module")
def study(text_page: Pixels) -> Study:
    page = Page(text_page[:140, :280].copy(), "write a poem about the harbour")
    return Study("small", "one page", (page,), 14, (0.8, 0.3))


@pytest.fixture(scope="module")
def folder(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("figures")
    drawn = draw_study(study, folder)
    assert [figure.name for figure in drawn] == ["small_pages", "small_spectrum", "small_residual"]
    return folder


@pytest.mark.parametrize("name", ["pages", "spectrum", "residual"])
def test_figures_are_pictures(folder: Path, name: str) -> None:
    picture = np.asarray(Image.open(folder / f"small_{name}.png").convert("L"))
    assert min(picture.shape) > 200
    assert picture.std() > 5
    assert "<svg" in (folder / f"small_{name}.svg").read_text()


def test_the_numbers_are_those_of_the_pages(folder: Path, study: Study) -> None:
    page = study.pages[0].pixels
    with (folder / "small_pages.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["keep_ratio"]) for row in rows] == [0.8, 0.3]
    after = restore(page, 14, 0.3)
    assert int(rows[1]["png_bytes"]) == png_size_bytes(page)
    assert int(rows[1]["png_bytes_after"]) == png_size_bytes(after)
    assert float(rows[1]["psnr_db"]) == pytest.approx(psnr_db([page], [after]), abs=0.01)


def test_restoring_everything_changes_nothing(text_page: Pixels) -> None:
    assert np.array_equal(restore(text_page, 16, 1.0), text_page)
    assert restore(text_page, 16, 0.2).shape == text_page.shape


def test_the_spectrum_is_the_mean_magnitude_of_each_coefficient(text_page: Pixels) -> None:
    pixels = text_page[:28, :42]
    basis = dct_matrix(14).numpy()
    blocks = [
        np.abs(basis @ pixels[y : y + 14, x : x + 14].astype(float) @ basis.T)
        for y in (0, 14)
        for x in (0, 14, 28)
    ]
    assert np.allclose(mean_magnitude([pixels], 14), np.mean(blocks, axis=0))


def test_psnr() -> None:
    black = np.zeros((4, 4), np.uint8)
    assert math.isinf(psnr_db([black], [black]))
    assert psnr_db([black], [black + np.uint8(255)]) == pytest.approx(0)
    assert psnr_db([black], [black + np.uint8(1)]) == pytest.approx(48.13, abs=0.01)


def test_the_studies_have_the_published_settings() -> None:
    paper, milestone = paper_study(1), milestone_study(None, 1)
    assert (paper.block, paper.keep_ratios) == (14, (0.8, 0.5))
    assert (milestone.block, milestone.keep_ratios) == (16, (0.95, 0.8, 0.5))
    assert milestone.pages[0].pixels.shape[1] == 1024
    assert "generated" in milestone.title


def stub(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program named tesseract, the only one that can be found."""
    folder.mkdir()
    program = folder / "tesseract"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin")


def test_recall_by_tesseract(study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stub(tmp_path / "bin", "cat > /dev/null; echo write A POEM", monkeypatch)
    (drawn,) = draw_recall(study, tmp_path / "out", "auto", (), 1)
    assert "tesseract" in drawn.caption
    with (tmp_path / "out" / "recall.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["keep_ratio"] for row in rows] == ["1.0", "0.8", "0.3"]
    # 3 of the 6 words; one page has no interval.
    assert {row["recall"] for row in rows} == {"0.5"}
    assert {row["low"] for row in rows} == {""}
    assert (tmp_path / "out" / "recall.png").is_file()


def test_a_failing_tesseract_is_said(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub(tmp_path / "bin", "cat > /dev/null; exit 3", monkeypatch)
    with pytest.raises(UserError, match="exit status 3"):
        draw_recall(study, tmp_path, "tesseract", (), 1)


def test_a_reader_that_is_not_there_is_said(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="not installed"):
        draw_recall(study, tmp_path, "tesseract", (), 1)
    with pytest.raises(UserError, match="model"):
        draw_recall(study, tmp_path, "no_such_model", (), 1)


def test_recall_reads_the_restored_page(study: Study) -> None:
    seen: list[Pixels] = []

    def read(pixels: Pixels) -> str:
        seen.append(pixels)
        return "harbour"

    assert page_recall(study, 1.0, read) == Recall(1.0, (1 / 6,))
    page_recall(study, 0.3, read)
    page = study.pages[0].pixels
    assert np.array_equal(seen[0], page)
    assert np.array_equal(seen[1], restore(page, 14, 0.3))


@pytest.mark.slow
def test_the_bundled_reader_finds_the_words_of_its_replies() -> None:
    whole, _ = tiny_recalls((1.0, 0.5), 16, 2)
    assert len(whole.values) == 2
    assert sum(whole.values) / 2 > 0.5


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--conversations", "1", "--reader", "none", "--out", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "word recall: not measured" in text
    assert len(list(tmp_path.glob("*.png"))) == len(list(tmp_path.glob("*.svg"))) == 6


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--xlsx", "no.xlsx"], "--xlsx"), (["--conversations", "0"], "--conversations")],
)
def test_bad_input_is_one_clear_message(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--out", str(tmp_path / "o")]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "o").exists()
