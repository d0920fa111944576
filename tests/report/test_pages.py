from __future__ import annotations

import io
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from report_runs import CONFIG, write_run

from freqexp.benchmarks.samples import load_samples, samples_hash
from freqexp.codecs.block_dct import BlockDct
from freqexp.comparing.compare import compare
from freqexp.comparing.comparison import Comparison
from freqexp.comparing.load import load
from freqexp.nouns.page import png_size_bytes
from freqexp.report.pages import Limits, redraw
from freqexp.schemas.codecs import BlockDctConfig
from freqexp.schemas.tokens import TokenConfig

ALL = Limits(seconds=math.inf)


def compared(outputs: Path) -> Comparison:
    return compare(load([str(outputs)]))


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


def test_pages_are_those_the_model_saw(drawable: Path) -> None:
    found = redraw(compared(drawable), ALL)
    sample = load_samples(CONFIG.needles, 4, 0)[1]
    images = found.images[0, sample.sample_id]
    pages = [page.pixels for page in CONFIG.model.render.build().render(sample.turns)]
    assert [pixels(png).tolist() for png in images.before] == [page.tolist() for page in pages]
    codec = BlockDct(block=14, keep_ratio=0.1, threshold="image", fit="pad")
    number = found.codec_of["codec000"]
    after = pixels(images.after[number][0])
    assert np.array_equal(after, codec.compress(pages[0]).pixels)
    assert found.questions[0, sample.sample_id] == sample.question
    assert set(found.codec_of) == {"codec000"}


def test_the_samples_that_changed_most_come_first_within_the_limit(drawable: Path) -> None:
    comparison = compared(drawable)
    ids = [s.sample_id for s in load_samples(CONFIG.needles, 4, 0)]
    flipped = {ids[1], ids[3]}
    whole = redraw(comparison, ALL)
    per_sample = len(whole.images[0, ids[1]].before) * 2
    found = redraw(comparison, replace(ALL, images=2 * per_sample))
    assert {sample_id for _, sample_id in found.images} == flipped
    assert "pages are shown for 2 of 4 samples" in found.notes[-1]
    assert redraw(comparison, Limits(image_bytes=10)).images == {}
    assert redraw(comparison, Limits(images=0)).images == {}
    assert redraw(comparison, Limits(seconds=0.0)).images == {}
    (images, *_) = redraw(comparison, replace(ALL, pages=1)).images.values()
    assert len(images.before) == 1


def test_other_data_is_not_shown_as_if_it_were_the_run_s(tmp_path: Path) -> None:
    ids = {s.sample_id: 1.0 for s in load_samples(CONFIG.needles, 2, 0)}
    write_run(tmp_path, "base", ids, provenance={"data_hash": "of another file"})
    found = redraw(compared(tmp_path), ALL)
    assert found.images == {}
    assert "the data or its generator changed since" in found.notes[0]


def test_samples_that_are_not_in_the_data(tmp_path: Path) -> None:
    write_run(tmp_path, "base", [1.0], provenance={"data_hash": samples_hash(CONFIG.needles)})
    found = redraw(compared(tmp_path), ALL)
    assert "holds none of these samples" in found.notes[0]


def test_pages_that_differ_from_the_recorded_ones_are_said_to(drawable: Path) -> None:
    """The runs' PNG sizes are made up, so a warning is due; with the true ones there is none."""
    assert any("pages drawn again differ" in note for note in redraw(compared(drawable), ALL).notes)


def test_pages_as_recorded_are_not_warned_about(tmp_path: Path) -> None:
    sample = load_samples(CONFIG.needles, 1, 0)[0]
    pages = [page.pixels for page in CONFIG.model.render.build().render(sample.turns)]
    size_bytes = sum(map(png_size_bytes, pages))
    write_run(
        tmp_path,
        "base",
        {sample.sample_id: 1.0},
        provenance={"data_hash": samples_hash(CONFIG.needles)},
        pages=len(pages),
        png_bytes=size_bytes,
        png_bytes_after=size_bytes,
    )
    (note,) = redraw(compared(tmp_path), ALL).notes
    assert note.startswith("pages are shown for 1 of 1 samples")


def test_a_codec_that_cannot_be_built_costs_only_its_pages(
    drawable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ImportError("no such library")

    monkeypatch.setattr(BlockDctConfig, "build", fail)
    found = redraw(compared(drawable), ALL)
    assert len(found.images) == 4
    assert found.codec_of == {}
    assert "pages after block_dct are not shown: ImportError: no such library" in found.notes


def test_of_many_codec_settings_some_are_drawn(tmp_path: Path) -> None:
    ids = {s.sample_id: 1.0 for s in load_samples(CONFIG.needles, 1, 0)}
    provenance = {"data_hash": samples_hash(CONFIG.needles)}
    write_run(tmp_path, "base", ids, provenance=provenance)
    for index in range(5):
        write_run(
            tmp_path,
            f"r{index}",
            ids,
            BlockDctConfig(),
            keep_ratio=0.1 + index / 10,
            provenance=provenance,
            png_bytes_after=9_000,
        )
    write_run(tmp_path, "tok", ids, TokenConfig(), provenance=provenance)
    found = redraw(compared(tmp_path), replace(ALL, codecs=2))
    assert set(found.codec_of) == {"r0", "r2"}
    assert found.notes[0].startswith("pages after the codec are shown for 2 of 5 codec settings")
