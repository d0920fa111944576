"""Training of block_vq's codebook, with settings that take seconds."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from freqexp.benchmarks.generate import generate
from freqexp.codecs.block_vq.codebook import FIRST, SPACE, UNIT, Codebook
from freqexp.codecs.block_vq.parse import parse_page, render_lines
from freqexp.errors import UserError
from freqexp.pages.glyph import GlyphRenderer
from freqexp.paths import conf_dir
from freqexp.train import __main__ as command
from freqexp.train.codebook import load, train_codebook

FILE = conf_dir() / "train" / "codebook.yaml"
SMALL = ["characters=1500", "words=120", "settings=[{renderer: glyph, font_px: 12}]"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("codebook") / "small.fqvq"
    assert train_codebook(load(FILE, [*SMALL, f"out={path}"])) == path
    return path


def test_code_words_and_their_pens(trained: Path) -> None:
    book = Codebook.unpack(trained.read_bytes())
    (group,) = book.groups
    assert 50 < len(group.words) <= 120
    assert {word.kind for word in group.words} <= set(range(FIRST, len(book.odds)))
    # DejaVu Sans: a space is 0.318 em wide; no letter is wider than one em.
    assert group.advance[SPACE] / UNIT == pytest.approx(0.318 * 12, abs=0.3)
    assert group.advance[FIRST:].max() / UNIT < 12.5
    assert (book.odds > 0).all()


def test_it_explains_pages_it_was_not_trained_on(trained: Path) -> None:
    book = Codebook.unpack(trained.read_bytes())
    renderer = GlyphRenderer(font_pt=12, line_height_pt=14, crop=False)
    page = renderer.render(generate(2, 1, 5, "long", target_chars=6000)[0].turns)[0]
    ink = 255 - page.pixels[:130].astype(np.float32)
    parsed = parse_page(ink, book)
    assert parsed.group == 0
    stamps = [stamp for line in parsed.lines for stamp in line.stamps]
    shared = len(book.groups[0].words)
    assert sum(stamp.word < shared for stamp in stamps) > 0.6 * len(stamps)
    shown = 255 - render_lines(parsed.lines, parsed.words, (130, 595)).astype(np.float64)
    assert ((shown - ink) ** 2).sum() < 0.1 * (ink**2).sum()


def test_the_command_writes_the_same_file_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = "settings=[{renderer: cells, font_px: 16.5, cell_width: 10, cell_height: 20}]"
    files = [tmp_path / "one.fqvq", tmp_path / "other.fqvq"]
    for file in files:
        monkeypatch.setattr(
            sys, "argv", ["train", "codebook", "characters=1500", settings, f"out={file}"]
        )
        assert command.main() == 0
    data = files[0].read_bytes()
    assert files[1].read_bytes() == data
    assert f"name {Codebook.unpack(data).name.hex()}" in capsys.readouterr().out


def test_an_unknown_key_is_named() -> None:
    with pytest.raises(UserError, match="colour"):
        load(FILE, ["colour=red"])
