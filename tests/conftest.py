"""Settings of the property tests, how tests spread over processes, and shared fixtures."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from PIL import Image, ImageDraw, ImageFont
from spread import pytest_collection_modifyitems, pytest_xdist_make_scheduler

from freqexp.nouns.page import Pixels

if TYPE_CHECKING:
    from run_fakes import Counting

    from freqexp.config.run import RunConfig

__all__ = ["pytest_collection_modifyitems", "pytest_xdist_make_scheduler"]

# A developer's own conf/local is not part of the tests, nor of the processes that they start.
os.environ["FREQEXP_CONFIG_DIR"] = ""

# The same examples on every run, however slow the machine, and no folder of past ones.
settings.register_profile(
    "freqexp",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],  # a second of wall time, whoever took it
)
settings.load_profile("freqexp")

LINES = (
    "User: write a poem about the harbour at night, please.",
    "Assistant: The lamps lean out over the water, and 37 boats answer them.",
    "User: now a riddle about clocks; keep it short!",
    "Assistant: It has two hands and a face but never washes either of them.",
)


def draw_text(height: int, width: int, lines: int) -> Pixels:
    """A gray page [height, width] uint8 with `lines` lines of 9 px DejaVu Sans, white below."""
    font_file = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    font = ImageFont.truetype(str(font_file), 9)
    image = Image.new("L", (width, height), 255)
    draw = ImageDraw.Draw(image)
    for line in range(lines):
        draw.text((10, 10 + 10 * line), f"{LINES[line % len(LINES)]} {line}", font=font, fill=0)
    return np.array(image)


@pytest.fixture(scope="session")
def text_page() -> Pixels:
    """A full page of text, gray [842, 595]; neither side is a multiple of 14."""
    return draw_text(842, 595, 82)


@pytest.fixture(scope="session")
def sparse_page() -> Pixels:
    """A page with three lines on it and white below, gray [336, 336]."""
    return draw_text(336, 336, 3)


@pytest.fixture(scope="session")
def colour_page(text_page: Pixels) -> Pixels:
    """Dark blue text on cream, RGB [200, 301, 3]."""
    ink = 1 - text_page[:200, :301, np.newaxis] / 255
    return np.rint(np.array([250, 245, 220]) * (1 - ink) + np.array([10, 20, 90]) * ink).astype(
        np.uint8
    )


@pytest.fixture
def counting() -> Counting:
    """Makes sessions on a fake reader and counts what is loaded."""
    from run_fakes import Counting

    return Counting()


@pytest.fixture
def config(tmp_path: Path) -> Any:
    """config(**changes): a run of six samples with files under `tmp_path`."""
    from run_fakes import make_config

    return lambda **changes: make_config(**{"output_dir": str(tmp_path / "outputs"), **changes})


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A folder that looks like a checkpoint to everything that doesn't load it."""
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    for name in ("config.json", "tokenizer.json", "preprocessor_config.json"):
        (folder / name).write_text("{}")
    (folder / "generation_config.json").write_text('{"eos_token_id": 1}')
    (folder / "chat_template.jinja").write_text("")
    return folder


@functools.cache
def compose_once(*overrides: str) -> RunConfig:
    from freqexp.composing.compose import compose

    return compose(overrides)


@pytest.fixture
def composed(tmp_path: Path, weights: Path) -> Callable[..., RunConfig]:
    """The run of some overrides, with results and weights in this test's folder."""

    def make(*overrides: str) -> RunConfig:
        cfg = compose_once(*overrides)
        model = replace(cfg.model, path=str(weights))
        return replace(cfg, model=model, output_dir=str(tmp_path / "outputs"))

    return make
