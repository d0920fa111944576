from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from accelerate import dispatch_model

from freqexp.errors import UserError
from freqexp.nouns.vision import keep_all
from freqexp.readers.bundled import weights_hash
from freqexp.readers.families.glm4v import Glm4vReader
from freqexp.readers.weights import spread
from freqexp.schemas.model import ModelConfig

Configure = Callable[..., ModelConfig]


def test_hash_is_of_the_contents(
    random_checkpoint: Path, model_config: Configure, tmp_path: Path
) -> None:
    copy = tmp_path / "elsewhere"
    shutil.copytree(random_checkpoint, copy)
    before = weights_hash(model_config(copy))
    assert before == weights_hash(model_config(random_checkpoint))
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (copy / "model.safetensors").write_bytes(weights)
    assert weights_hash(model_config(copy)) != before


def test_a_folder_without_weights_is_refused(model_config: Configure, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match=r"a folder with weights"):
        weights_hash(model_config(tmp_path))


def test_a_hub_model_is_named_by_its_revision(model_config: Configure) -> None:
    config = model_config(Path("nobody/nothing-here"))
    assert weights_hash(config) == "hub:nobody/nothing-here@main"


def test_layers_that_accelerate_places_elsewhere_answer_the_same(
    model_config: Configure, tmp_path: Path
) -> None:
    """What `cluster.shard` does with several GPUs, with a disk in the place of the second one."""
    page = np.random.default_rng(0).integers(0, 256, (336, 336)).astype(np.uint8)
    with spread(over_all_gpus=True):
        reader = Glm4vReader.load(model_config(None))
    tokens = [keep_all(encoded) for encoded in reader.encode([page])]
    plain = reader.answer("Repeat the text.", tokens).text
    decoder = "model.language_model"
    layers = reader.model.config.text_config.num_hidden_layers
    places = {f"{decoder}.layers.{i}": "disk" if i % 2 else "cpu" for i in range(layers)}
    others = ("model.visual", "lm_head", *(f"{decoder}.{n}" for n in ("embed_tokens", "norm")))
    places |= dict.fromkeys((*others, f"{decoder}.rotary_emb"), "cpu")
    dispatch_model(reader.model, places, main_device="cpu", offload_dir=tmp_path, force_hooks=True)
    assert next(reader.model.model.language_model.layers[1].parameters()).is_meta
    tokens = [keep_all(encoded) for encoded in reader.encode([page])]
    assert reader.answer("Repeat the text.", tokens).text == plain != ""
