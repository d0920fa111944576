"""Where weights are and what they hash to; imports nothing heavy."""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from freqexp.errors import UserError
from freqexp.schemas.choices import Family
from freqexp.schemas.outside_model import OutsideModelConfig
from freqexp.schemas.served import ServedConfig

if TYPE_CHECKING:
    from freqexp.schemas.model import ModelConfig

WEIGHT_SUFFIXES = (".safetensors", ".bin", ".json", ".model", ".jinja", ".py", ".tiktoken")
VOCABULARIES = ("merges.txt", "vocab.txt")


def folder() -> Path:
    """Folder of the bundled tiny reader."""
    return Path(__file__).resolve().parent.parent / "models" / "tiny"


def weights_hash(model: ModelConfig) -> str:
    """sha256 over a local checkpoint's files (names and contents), or `hub:<id>@<revision>` of a
    hub model; of the family ppocr over the one file in rapidocr's package; `served:<name>` of a
    model whose weights a server has, which can't be hashed. Of a reader from outside over the same
    files of its folder, `none` without a path.

    Raises UserError for a local folder that holds no weights, and without that package.
    """
    if model.family is Family.ppocr:
        from freqexp.readers.recogniser.lines import model_path

        file = model_path()
        stat = file.stat()
        return _hash_files(file.parent, ((str(file), stat.st_size, stat.st_mtime_ns),))
    if isinstance(model, ServedConfig):
        return f"served:{model.served}"
    outside = isinstance(model, OutsideModelConfig)
    if outside and model.path is None:
        return "none"
    path = folder() if model.path is None else Path(model.path).expanduser()
    if model.path is not None and not path.exists():
        return f"hub:{model.path}@{model.revision or 'main'}"
    files = sorted(file for file in path.rglob("*") if file.is_file() and _counts(file, path))
    if not outside and not any(f.suffix in (".safetensors", ".bin") for f in files):
        raise UserError(
            f"model.path: got {str(path)!r}, allowed: a folder with weights (*.safetensors)"
        )
    stamps = tuple((str(f), f.stat().st_size, f.stat().st_mtime_ns) for f in files)
    return _hash_files(path, stamps)


def _counts(file: Path, root: Path) -> bool:
    """Whether a file can change what a model says; hidden folders are notes of a download."""
    if any(part.startswith(".") for part in file.relative_to(root).parts):
        return False
    return file.suffix in WEIGHT_SUFFIXES or file.name in VOCABULARIES


def decoder_layers(model: ModelConfig) -> int | None:
    """Decoder layers of local weights by their config.json; None where it can't be read, of a hub
    model, and of a reader from outside.
    """
    if isinstance(model, OutsideModelConfig):
        return None
    path = folder() if model.path is None else Path(model.path).expanduser()
    try:
        config = json.loads((path / "config.json").read_bytes())
        layers = config.get("text_config", config).get("num_hidden_layers")
    except (OSError, ValueError, AttributeError):
        return None
    return layers if isinstance(layers, int) else None


@functools.lru_cache(maxsize=32)
def _hash_files(root: Path, stamps: tuple[tuple[str, int, int], ...]) -> str:
    digest = hashlib.sha256()
    for name, size, _ in stamps:
        digest.update(f"{Path(name).relative_to(root)}\0{size}\0".encode())
        with Path(name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
