"""Whether a folder of weights has the files a reader needs; read before anything is loaded, so
imports nothing heavy.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freqexp.errors import fault
from freqexp.schemas.choices import Family

if TYPE_CHECKING:
    from freqexp.schemas.model import ModelConfig

FIELD = "model.path"
POINTER = b"version https://git-lfs"
_SHARDS = (".safetensors", ".bin")
_TOKENIZERS = ("tokenizer.json", "vocab.json", "tokenizer.model")
_PROCESSORS = ("preprocessor_config.json", "processor_config.json")
_TEMPLATES = ("chat_template.jinja", "chat_template.json")


def folder_faults(model: ModelConfig) -> list[str]:
    """What a local checkpoint lacks, a line each that names the file; nothing of a hub id, which
    is not here to be looked at, and of what a reader from outside loads by itself.
    """
    if model.path is None or model.family in (Family.ppocr, Family.outside):
        return []
    folder = Path(model.path).expanduser()
    if not folder.is_dir():
        return []
    return [fault(FIELD, model.path, allowed) for allowed in _lacks(folder, model.family)]


def _lacks(folder: Path, family: Family) -> Iterator[str]:
    weights = sorted(file for file in folder.iterdir() if file.suffix in _SHARDS)
    if not weights:  # a memory plan needs none; the weights' hash says so to whoever does
        return
    if not (folder / "config.json").is_file():
        if (folder / "adapter_config.json").is_file():
            yield "a whole model; this is an adapter: model.adapter=FOLDER beside model.path=BASE"
        else:
            yield "a folder with a config.json"
        return
    config = _json(folder / "config.json")
    if config.get("quantization_config"):
        method = _mapping(config["quantization_config"]).get("quant_method", "unnamed")
        yield f"weights that are not quantised; config.json says quantization_config ({method})"
    yield from _torn(folder, weights)
    if family is Family.glm4v_remote:  # its tokenizer and template are code of its own
        return
    for what, names in (("tokenizer", _TOKENIZERS), ("image processor", _PROCESSORS)):
        if not _any(folder, names):
            yield f"a folder with the file of its {what}: {' or '.join(names)}"
    told = [_json(folder / name) for name in ("tokenizer_config.json", *_PROCESSORS)]
    if not _any(folder, _TEMPLATES) and not any(each.get("chat_template") for each in told):
        yield f"a folder with a chat template: {_TEMPLATES[0]}, or in tokenizer_config.json"
    ends = [_json(folder / "generation_config.json"), config, _mapping(config.get("text_config"))]
    if all(each.get("eos_token_id") is None for each in ends):
        yield "a checkpoint that names its end token (eos_token_id in generation_config.json)"


def _torn(folder: Path, found: Sequence[Path]) -> Iterator[str]:
    """Files of weights that are absent, or that git-lfs did not fetch."""
    for file in found:
        with file.open("rb") as stream:
            if stream.read(len(POINTER)) == POINTER:
                yield f"files themselves; {file.name} is a git-lfs pointer (git lfs pull)"
                return
    for index in sorted(folder.glob("*.index.json")):
        named = set(map(str, _mapping(_json(index).get("weight_map")).values()))
        absent = sorted(named - {file.name for file in found})
        if absent:
            more = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
            yield f"all files that {index.name} names; {absent[0]}{more} is not there"


def _any(folder: Path, names: tuple[str, ...]) -> bool:
    return any((folder / name).is_file() for name in names)


def _json(path: Path) -> Mapping[str, Any]:
    """What a file says; nothing where it can't be read: loading says why."""
    try:
        return _mapping(json.loads(path.read_bytes()))
    except (OSError, ValueError):
        return {}


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
