"""Every family reads pages smaller than a patch, and the longest that a renderer draws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import glm4v_remote_checkpoint
import llava_checkpoint
import numpy as np
import pytest
import torch
from reader_fixtures import Loaded

from freqexp.nouns.page import LONGEST, Pixels
from freqexp.nouns.sample import Turn
from freqexp.nouns.vision import keep_all
from freqexp.pages.glyph import GlyphRenderer
from freqexp.readers.base import Reader
from freqexp.readers.families.glm4v import Glm4vReader
from freqexp.readers.load import load_reader
from freqexp.schemas.choices import Family
from freqexp.schemas.model import ModelConfig

Configure = Callable[..., ModelConfig]
SHAPES = [(12, 20), (20, 12), (1, 1), (3, 40), (40, 3), (39, 73), (28, 22), (1, LONGEST)]
BY_SHAPE = pytest.mark.parametrize("shape", SHAPES, ids=str)
EXTREME = [(10, 10 * LONGEST), (10 * LONGEST, 10)]


def noise(shape: tuple[int, int]) -> Pixels:
    return np.random.default_rng(4).integers(0, 256, shape, dtype=np.uint8)


def read(reader: Reader, page: Pixels) -> list[tuple[int, int]]:
    """The grids of a page about which a question was answered."""
    vision = reader.encode([page])
    answer = reader.answer("what?", [keep_all(grid) for grid in vision])
    assert answer.vision_tokens_in
    assert all(bool(torch.isfinite(grid.features).all()) for grid in vision)
    return [grid.grid for grid in vision]


@pytest.mark.parametrize("shape", [*SHAPES, *EXTREME], ids=str)
def test_families_with_pages_of_any_size(loaded: Loaded, shape: tuple[int, int]) -> None:
    ((rows, columns),) = read(loaded.reader, noise(shape))
    assert rows >= 1
    assert columns >= 1
    assert (rows - columns) * (shape[0] - shape[1]) >= 0


@BY_SHAPE
def test_the_bundled_reader(reader: Glm4vReader, shape: tuple[int, int]) -> None:
    ((rows, columns),) = read(reader, noise(shape))
    assert (rows - columns) * (shape[0] - shape[1]) >= 0


@pytest.mark.parametrize("height", [1, 3])
def test_rows_of_a_low_page_are_not_taken_for_colours(loaded: Loaded, height: int) -> None:
    """An image processor that has to guess takes a side of 1 or 3 px for channels."""
    page = noise((height, 60))
    (grid,) = loaded.reader.encode([page])
    (turned,) = loaded.reader.encode([np.ascontiguousarray(page.T)])
    assert grid.grid == turned.grid[::-1]


@pytest.mark.parametrize("shape", [*SHAPES, *EXTREME], ids=str)
def test_llava_onevision(model_config: Configure, shape: tuple[int, int], llava: Path) -> None:
    config = replace(model_config(llava), family=Family.llava_onevision)
    base, detail = read(load_reader(config), noise(shape))
    assert base == (5, 5)
    assert min(detail) >= 1


@pytest.fixture(scope="module")
def llava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Crops of an odd number of patches, as the published weights have (27): the least that a
    detail grid keeps of one is a row. Of an even number nothing may be left.
    """
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("llava") / "reader"
    return llava_checkpoint.build_checkpoint(folder, crop=70)


def test_glm4v_remote(model_config: Configure, tmp_path: Path) -> None:
    with glm4v_remote_checkpoint.code_cache_in(tmp_path / "modules"):
        folder = glm4v_remote_checkpoint.build_checkpoint(tmp_path / "reader")
        settings = {"family": Family.glm4v_remote, "trust_remote_code": True}
        reader = load_reader(replace(model_config(folder), **settings))  # type: ignore[arg-type]
        grids = [read(reader, noise(shape)) for shape in (*SHAPES, *EXTREME)]
    side = glm4v_remote_checkpoint.SIDE
    assert grids == [[(side, side)]] * len(grids)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"font_pt": 1, "line_height_pt": 1, "margin_x": 0, "margin_y": 0},
        {"width": 3000, "margin_x": 0, "margin_y": 0},
        {"dpi": 12},
    ],
)
@pytest.mark.parametrize("turn", [Turn("", ""), Turn("-" * 800, ""), Turn("l\n" * 60, "l")])
def test_what_glyph_draws_of_short_turns(
    loaded: Loaded, settings: dict[str, int], turn: Turn
) -> None:
    for page in GlyphRenderer(**settings).render([turn]):  # type: ignore[arg-type]
        if page.pixels.size <= loaded.reader.page_pixels:  # type: ignore[attr-defined]
            read(loaded.reader, page.pixels)
