"""A folder of weights that can't be used says what it lacks before anything is loaded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from reader_checkpoints import configure
from safetensors.torch import load_file, save_file

from freqexp.errors import UserError
from freqexp.readers.bundled import weights_hash
from freqexp.readers.folder_check import folder_faults
from freqexp.readers.load import load_reader

if TYPE_CHECKING:
    from conftest import Loaded


@pytest.fixture
def copy(loaded: Loaded, tmp_path: Path) -> Path:
    folder = tmp_path / "copy"
    shutil.copytree(loaded.folder, folder)
    return folder


def said(loaded: Loaded, folder: Path) -> list[str]:
    found = folder_faults(configure(loaded.kind, folder))
    start = f"model.path: got {str(folder)!r}, allowed: "
    assert all(line.startswith(start) for line in found)
    return [line.removeprefix(start) for line in found]


def change(file: Path, **values: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def without_ends(folder: Path) -> None:
    change(folder / "generation_config.json", eos_token_id=None)
    config = json.loads((folder / "config.json").read_text())
    for section in (config, config["text_config"]):
        section["eos_token_id"] = None
    (folder / "config.json").write_text(json.dumps(config))


def pointer(folder: Path) -> None:
    text = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n"
    (folder / "model.safetensors").write_text(text)


def only_an_adapter(folder: Path) -> None:
    (folder / "config.json").rename(folder / "adapter_config.json")


def sharded(folder: Path) -> None:
    names = {"a": "model.safetensors", "b": "model-2.safetensors", "c": "model-3.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "no config": (lambda f: (f / "config.json").unlink(), "a folder with a config.json"),
    "adapter": (only_an_adapter, "a whole model; this is an adapter: model.adapter=FOLDER"),
    "quantised": (
        lambda f: change(f / "config.json", quantization_config={"quant_method": "gptq"}),
        "weights that are not quantised; config.json says quantization_config (gptq)",
    ),
    "pointer": (pointer, "files themselves; model.safetensors is a git-lfs pointer"),
    "shards": (
        sharded,
        "all files that model.safetensors.index.json names; model-2.safetensors and 1 more",
    ),
    "no tokenizer": (
        lambda f: (f / "tokenizer.json").unlink(),
        "a folder with the file of its tokenizer: tokenizer.json or ",
    ),
    "no processor": (
        lambda f: (f / "preprocessor_config.json").unlink(),
        "a folder with the file of its image processor: preprocessor_config.json or ",
    ),
    "no template": (
        lambda f: (f / "chat_template.jinja").unlink(),
        "a folder with a chat template: chat_template.jinja, or in tokenizer_config.json",
    ),
    "no end": (without_ends, "a checkpoint that names its end token (eos_token_id in "),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_lacking_is_named(loaded: Loaded, copy: Path, case: str) -> None:
    assert said(loaded, copy) == []
    breaking, wanted = BROKEN[case]
    breaking(copy)
    (line,) = said(loaded, copy)
    assert line.startswith(wanted)


def test_everything_at_once(loaded: Loaded, copy: Path) -> None:
    for case in ("quantised", "no tokenizer", "no template"):
        BROKEN[case][0](copy)
    assert len(said(loaded, copy)) == 3


def test_a_hub_id_is_not_looked_at(loaded: Loaded) -> None:
    assert folder_faults(replace(configure(loaded.kind, loaded.folder), path="owner/name")) == []


def with_tensor(folder: Path, name: str) -> None:
    file = folder / "model.safetensors"
    save_file({**load_file(file), name: torch.zeros(4)}, file, metadata={"format": "pt"})


@pytest.mark.parametrize(
    "name",
    [
        "model.language_model.layers.0.self_attn.rotary_emb.inv_freq",
        "model.visual.rotary_pos_emb.inv_freq",
        "model.visual.embeddings.position_ids",
    ],
)
def test_tables_that_follow_from_the_config_may_be_stored(
    loaded: Loaded, copy: Path, name: str
) -> None:
    with_tensor(copy, name)
    assert load_reader(configure(loaded.kind, copy)).generation


def test_foreign_tensors_are_refused(loaded: Loaded, copy: Path) -> None:
    with_tensor(copy, "model.language_model.adapter.weight")
    with pytest.raises(UserError, match=r"unexpected keys: .*adapter\.weight"):
        load_reader(configure(loaded.kind, copy))


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("merges.txt", True),
        ("vocab.txt", True),
        ("own.tiktoken", True),
        ("README.txt", False),
        (".cache/notes.json", False),
    ],
)
def test_files_that_can_change_what_is_said_are_in_the_hash(
    loaded: Loaded, copy: Path, name: str, counts: bool
) -> None:
    config = configure(loaded.kind, copy)
    before = weights_hash(config)
    (copy / name).parent.mkdir(exist_ok=True)
    (copy / name).write_text("edited")
    assert (weights_hash(config) != before) == counts
