"""Settings of the property tests, how tests spread over processes, and shared fixtures."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from spread import pytest_collection_modifyitems, pytest_xdist_make_scheduler

from freqexp.conform import inputs
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


@pytest.fixture(scope="session")
def text_page() -> Pixels:
    """A full page of text, gray [842, 595]; neither side is a multiple of 14."""
    return inputs.text_page().copy()


@pytest.fixture(scope="session")
def sparse_page() -> Pixels:
    """A page with three lines on it and white below, gray [336, 336]."""
    return inputs.draw_text(336, 336, 3)


@pytest.fixture(scope="session")
def colour_page() -> Pixels:
    """Dark blue text on cream, RGB [200, 301, 3]."""
    return inputs.colour_page().copy()


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


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that modules are imported from; what is imported from it is forgotten after."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def theirs(site: Path) -> Path:
    """With the package of `tests/helpers/their-methods`."""
    from their_package import install

    install(site)
    return site
