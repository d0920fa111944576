"""Readers of the bundled and of random checkpoints, as fixtures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from reader_checkpoints import KINDS, Kind, Plain, configure, write_checkpoint

from freqexp.readers.families.glm4v import Glm4vReader
from freqexp.readers.families.hf import HfReader
from freqexp.readers.load import load_reader
from freqexp.schemas.choices import Form
from freqexp.schemas.model import ModelConfig
from freqexp.schemas.render import CellsRender
from freqexp.train.export import export
from freqexp.train.model import build_model
from freqexp.train.tokenizer import CharacterCode


@pytest.fixture(scope="session")
def model_config() -> Callable[..., ModelConfig]:
    """Makes a model configuration for a checkpoint folder; None: the bundled reader."""

    def make(path: Path | None, max_new_tokens: int = 12) -> ModelConfig:
        return ModelConfig(
            name="random",
            max_new_tokens=max_new_tokens,
            form=Form.short,
            render=CellsRender(),
            path=None if path is None else str(path),
        )

    return make


@pytest.fixture(scope="session")
def random_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained reader of the bundled one's class and size, saved as a user would have it."""
    torch.set_num_threads(1)
    model = build_model(CharacterCode(192, 12, 12), seed=1)
    return export(model, tmp_path_factory.mktemp("random") / "reader")


@pytest.fixture(scope="session")
def reader(model_config: Callable[..., ModelConfig]) -> Glm4vReader:
    """The bundled reader: it reads, so its answers differ from sample to sample."""
    torch.set_num_threads(1)
    return Glm4vReader.load(model_config(None, 48))


@dataclass(frozen=True, eq=False)
class Loaded:
    """One family's random checkpoint, read by us and by plain transformers."""

    kind: Kind
    folder: Path
    reader: HfReader
    plain: Plain


@pytest.fixture(scope="session", params=sorted(KINDS))
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    """Every family whose pages keep their own grid, loaded from disk."""
    torch.set_num_threads(1)
    kind = KINDS[request.param]
    folder = write_checkpoint(kind, tmp_path_factory.mktemp("family") / request.param)
    reader = load_reader(configure(kind, folder))
    assert isinstance(reader, HfReader)
    return Loaded(kind, folder, reader, Plain.load(kind, folder))
