"""Adapters as folders: what a decoder was changed to, beside what it was changed from.

A folder holds adapt.json and one of
- adapter_config.json and adapter_model.safetensors: a LoRA (arXiv 2106.09685) in peft's own format,
- decoder.safetensors: the decoder's changed parameters by their names in the model, and the entry
  "decoder" of its header. Those in its "scales" are differences to the base's, in 8 bits, whose
  unit the scale is.

adapt.json says which base it is for (`Base`), the sha256 of the other files, by which half a folder
and a mixture of two are told, and whatever else who wrote it had to say. It is no part of a run's
identity; the other files are. Imports nothing heavy.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freqexp.errors import UserError, fault
from freqexp.files import read_json
from freqexp.paths import BUNDLED, adapted_dir

if TYPE_CHECKING:
    from torch import Tensor

FIELD = "model.adapter"
ABOUT, LORA_CONFIG = "adapt.json", "adapter_config.json"
LORA, FULL = "adapter_model.safetensors", "decoder.safetensors"
FORMATS = {LORA: (LORA, LORA_CONFIG), FULL: (FULL,)}
"""Files of either kind, by the one with its tensors."""
# One entry of FULL's header: safetensors writes several in any order.
ENTRY, VERSION, SCALES = "decoder", 1, "scales"
_NEEDED = f"a folder with {ABOUT} and either {LORA_CONFIG} and {LORA}, or {FULL}"


@dataclass(frozen=True)
class Base:
    """What an adapter was made for.

    weights_hash: see `bundled.weights_hash`. model_class: its name in transformers. hidden_size,
    layers: of the decoder.
    """

    weights_hash: str
    model_class: str
    hidden_size: int
    layers: int


def folder_of(adapter: str) -> Path:
    """The folder that `model.adapter` names."""
    return adapted_dir(adapter)


def faults(adapter: str | None) -> list[str]:
    """What can be said of `model.adapter` by the names of its files."""
    if adapter is None:
        return []
    folder = folder_of(adapter)
    if not folder.is_dir():
        allowed = f"null, {', '.join(BUNDLED)} or a folder that exists"
        if adapter in BUNDLED:
            allowed = "a folder that exists (this package comes without that adapter)"
        return [fault(FIELD, adapter, allowed)]
    there = [kind for kind, files in FORMATS.items() if all((folder / f).is_file() for f in files)]
    if len(there) > 1:
        return [fault(FIELD, adapter, f"{LORA} or {FULL} in this folder, not both")]
    if not there or not (folder / ABOUT).is_file():
        return [fault(FIELD, adapter, _NEEDED)]
    return []


def content_hash(adapter: str) -> str:
    """sha256 of what an adapter changes. Raises UserError for a folder that is none or can't be
    read.
    """
    kind, folder = kind_of(adapter), folder_of(adapter)
    parts = {name: _hash(adapter, folder / name) for name in FORMATS[kind]}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def kind_of(adapter: str) -> str:
    """LORA or FULL. Raises UserError for a folder that is neither."""
    wrong = faults(adapter)
    if wrong:
        raise UserError(wrong[0])
    return next(k for k in FORMATS if (folder_of(adapter) / k).is_file())


def base_of(adapter: str) -> Base:
    """What an adapter is for, once its files are known to be those that were written together.

    Raises UserError where they are not, and for an adapt.json that doesn't say.
    """
    kind, folder = kind_of(adapter), folder_of(adapter)
    said = read_json(folder / ABOUT) or {}
    try:
        base = said["base"]
        found = Base(
            str(base["weights_hash"]),
            str(base["model_class"]),
            int(base["hidden_size"]),
            int(base["layers"]),
        )
        hashes = {name: str(said["files"][name]) for name in FORMATS[kind]}
    except (KeyError, TypeError, ValueError) as error:
        raise refused(adapter, f"{ABOUT} doesn't say what it is for") from error
    for name, expected in hashes.items():
        if _hash(adapter, folder / name) != expected:
            raise refused(adapter, f"{name} is not the file that {ABOUT} was written with")
    return found


def refused(adapter: str, reason: str) -> UserError:
    """The error for an adapter that can't be used."""
    return UserError(fault(FIELD, adapter, f"an adapter that can be used ({reason})"))


def write(
    folder: Path,
    kind: str,
    tensors: Mapping[str, Tensor],
    base: Base,
    said: Mapping[str, object],
    config: str | None = None,
    scales: Mapping[str, float] | None = None,
) -> None:
    """Write an adapter, in the place of one that is there, which stays whole until the new one is.

    said: JSON values for adapt.json. config: text of LORA_CONFIG for a LoRA. scales: of those
    tensors of FULL that are differences in 8 bits.
    Raises UserError when it can't be written; nothing has changed then.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    entry = {"version": VERSION, **({SCALES: dict(scales)} if scales else {})}
    metadata = {"format": "pt"} if kind == LORA else {ENTRY: json.dumps(entry)}
    parts = {name: folder / f".{name}.{os.getpid()}" for name in (*FORMATS[kind], ABOUT)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_file(dict(tensors), parts[kind], metadata=metadata)
        if config is not None:
            parts[LORA_CONFIG].write_text(config, encoding="utf-8")
        files = {name: _file_hash(parts[name]) for name in FORMATS[kind]}
        about = {**said, "base": asdict(base), "files": files}
        parts[ABOUT].write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        # Safetensors lets nobody else read it.
        parts[kind].chmod(parts[ABOUT].stat().st_mode)
        for part in parts.values():
            _to_disk(part)
        for name, part in parts.items():
            os.replace(part, folder / name)
        for other in {name for files_of in FORMATS.values() for name in files_of} - set(parts):
            (folder / other).unlink(missing_ok=True)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"cannot write {folder}: {reason}") from error
    finally:
        for part in parts.values():
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)


def _to_disk(file: Path) -> None:
    with file.open("rb") as opened:
        os.fsync(opened.fileno())


def _hash(adapter: str, file: Path) -> str:
    try:
        stat = file.stat()
        return _stamped_hash(file, stat.st_size, stat.st_mtime_ns)
    except OSError as error:
        raise refused(adapter, f"{file.name} can't be read: {error.strerror}") from error


@functools.lru_cache(maxsize=32)
def _stamped_hash(file: Path, size: int, mtime_ns: int) -> str:
    return _file_hash(file)


def _file_hash(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def lora_config(adapter: str) -> dict[str, Any]:
    """What LORA_CONFIG says. Raises UserError for another kind of peft's adapters."""
    found = read_json(folder_of(adapter) / LORA_CONFIG)
    if found is None:
        raise refused(adapter, f"{LORA_CONFIG} holds no JSON object")
    kind = found.get("peft_type")
    if kind != "LORA":
        raise refused(adapter, f"peft_type of {LORA_CONFIG} is {kind}, not LORA")
    return found
