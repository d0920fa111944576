"""A checkpoint that can't be used says what is wrong with it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from reader_checkpoints import KINDS, configure
from safetensors.torch import load_file, save_file

from freqexp.errors import UserError
from freqexp.readers.load import load_reader
from freqexp.readers.weights import source_of
from freqexp.schemas.choices import Attention, Device, Family
from freqexp.schemas.model import ModelConfig

if TYPE_CHECKING:
    from conftest import Loaded

OTHERS = {
    "glm4v": "qwen3_vl",
    "qwen3_vl": "qwen2_5_vl",
    "qwen2_5_vl": "qwen2_vl",
    "qwen2_vl": "glm4v",
}


@pytest.fixture
def copy(loaded: Loaded, tmp_path: Path) -> Path:
    folder = tmp_path / "copy"
    shutil.copytree(loaded.folder, folder)
    return folder


def refused(loaded: Loaded, folder: Path, said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        load_reader(configure(loaded.kind, folder))
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


def test_another_family_is_named(loaded: Loaded) -> None:
    name = loaded.kind.family.value
    other = KINDS[OTHERS[name]]
    said = rf"model\.path: .* allowed: a checkpoint of model_type {other.family.value} .*is {name}"
    with pytest.raises(UserError, match=said):
        load_reader(configure(other, loaded.folder))


def test_no_config(loaded: Loaded, copy: Path) -> None:
    (copy / "config.json").unlink()
    refused(loaded, copy, r"model\.path: can't load .*no config\.json")


@pytest.mark.parametrize("content", ["{}", "not json", '{"model_type": 3}'])
def test_a_config_that_is_none(loaded: Loaded, copy: Path, content: str) -> None:
    (copy / "config.json").write_text(content)
    refused(loaded, copy, r"model\.path: ")


@pytest.mark.parametrize(
    ("layers", "said"), [(2, "unexpected keys: .*layers.2"), (4, "missing keys: .*layers.3")]
)
def test_tensors_that_are_missing_or_too_many(
    loaded: Loaded, copy: Path, layers: int, said: str
) -> None:
    config = json.loads((copy / "config.json").read_text())
    config["text_config"]["num_hidden_layers"] = layers
    config["text_config"].pop("layer_types", None)
    (copy / "config.json").write_text(json.dumps(config))
    refused(loaded, copy, said)


def test_a_tensor_of_another_shape(loaded: Loaded, copy: Path) -> None:
    file = copy / "model.safetensors"
    tensors = load_file(file)
    name = "lm_head.weight"
    tensors[name] = torch.zeros(7, tensors[name].shape[1])
    save_file(tensors, file, metadata={"format": "pt"})
    refused(loaded, copy, r"model\.path: .*")


@pytest.mark.parametrize(
    "file", ["model.safetensors", "tokenizer.json", "preprocessor_config.json"]
)
def test_a_missing_file(loaded: Loaded, copy: Path, file: str) -> None:
    (copy / file).unlink()
    refused(loaded, copy, r"model\.path: can't load")


def test_torn_weights(loaded: Loaded, copy: Path) -> None:
    file = copy / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    refused(loaded, copy, r"model\.path: can't load")


def test_no_chat_template(loaded: Loaded, copy: Path) -> None:
    (copy / "chat_template.jinja").unlink()
    refused(loaded, copy, "has no chat template")


def test_no_end_token(loaded: Loaded, copy: Path) -> None:
    (copy / "generation_config.json").write_text("{}")
    config = json.loads((copy / "config.json").read_text())
    for section in (config, config["text_config"]):
        section["eos_token_id"] = None
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="names no end token"):
        load_reader(configure(loaded.kind, copy))


def test_the_template_of_the_processor_goes_before_the_tokenizers(
    loaded: Loaded, copy: Path
) -> None:
    template = (copy / "chat_template.jinja").read_text()
    (copy / "chat_template.jinja").unlink()
    settings = json.loads((copy / "tokenizer_config.json").read_text())
    (copy / "tokenizer_config.json").write_text(json.dumps({**settings, "chat_template": "x"}))
    (copy / "chat_template.json").write_text(json.dumps({"chat_template": template}))
    reader = load_reader(configure(loaded.kind, copy))
    assert reader.tokenizer.chat_template == template  # type: ignore[attr-defined]


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_cuda_where_there_is_none(model_config: Callable[..., ModelConfig]) -> None:
    config = replace(model_config(None), device=Device.cuda)
    with pytest.raises(UserError, match=r"model\.device: got 'cuda', allowed: cpu"):
        load_reader(config)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without flash attention")
def test_attention_that_is_not_installed(model_config: Callable[..., ModelConfig]) -> None:
    config = replace(model_config(None), attention=Attention.flash_attention_2)
    with pytest.raises(UserError, match=r"model\.path: can't load .*[Ff]lash"):
        load_reader(config)


OFFLINE = """
from dataclasses import replace
from freqexp.composing.compose import compose
from freqexp.errors import UserError
from freqexp.readers.load import load_reader
from freqexp.readers.weights import source_of
local = compose(["model.path={folder}"]).model
assert load_reader(local).max_new_tokens == 64
try:
    load_reader(replace(local, path="nobody/no-such-model", revision="0" * 40))
except UserError as error:
    print(error)
"""


def test_offline_works_from_a_folder_and_says_what_is_not_there(random_checkpoint: Path) -> None:
    code = OFFLINE.format(folder=random_checkpoint)
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"HF_HUB_OFFLINE": "1", "PATH": "", "HOME": str(random_checkpoint.parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    said = "model.path: 'nobody/no-such-model' is not in this machine's cache, and can't be fetched"
    assert done.stdout.startswith(said)
    assert "HF_HUB_OFFLINE is set" in done.stdout
    assert f"hf download nobody/no-such-model --revision {'0' * 40}" in done.stdout
    assert done.stdout.count("\n") == 1


def test_a_hub_that_does_not_answer_is_not_waited_for(
    model_config: Callable[..., ModelConfig],
    random_checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the cache has is loaded from there, what it has not is refused at once."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    revision = "a" * 40
    config = replace(model_config(random_checkpoint), path="some/model", revision=revision)
    started = time.monotonic()
    with pytest.raises(UserError, match=r"it does not answer.*: hf download some/model"):
        load_reader(config)
    folder = tmp_path / "models--some--model" / "snapshots" / revision
    shutil.copytree(random_checkpoint, folder)
    assert source_of(config) == str(folder)
    assert load_reader(config)
    assert time.monotonic() - started < 30


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{% for %}", "chat template: can't be applied: "),
        ("{{ raise_exception('no images') }}", "chat template: can't be applied: no images"),
        ("{{ messages[0].role }}", "chat template: puts 0 of the model's image tokens for a page"),
    ],
)
def test_a_template_that_fails_is_said_once_and_not_at_every_sample(
    loaded: Loaded, copy: Path, template: str, said: str
) -> None:
    (copy / "chat_template.json").unlink(missing_ok=True)
    (copy / "chat_template.jinja").write_text(template)
    with pytest.raises(UserError) as caught:
        load_reader(configure(loaded.kind, copy))
    assert str(caught.value).startswith(said)
    assert "model.path" in str(caught.value)


def test_a_family_of_none_of_the_readers_is_refused(
    model_config: Callable[..., ModelConfig], random_checkpoint: Path
) -> None:
    config = replace(model_config(random_checkpoint), family=Family.llava_onevision)
    with pytest.raises(UserError, match=r"model\."):
        load_reader(config)
