"""Vision encodings on disk: bounded, shared by runs and processes, equal to fresh ones bit by bit.

A file is named by what its content depends on (`encoder_key` and the pixels), so nothing in it can
be out of date; whatever has not been used for longest goes when there is no room. Files appear
whole or not at all, and a process that reads one keeps it although another removes its name.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freqexp.code import files_digest
from freqexp.errors import UserError
from freqexp.nouns.vision import VisionTokens
from freqexp.paths import package_dir

if TYPE_CHECKING:
    from torch import Tensor

    from freqexp.schemas.model import ModelConfig

SUFFIX = ".safetensors"
PARTIAL = ".partial"
ABANDONED_SECONDS = 3600.0
# A safetensors file begins with the length of its JSON header.
_LENGTH_BYTES = 8

# Settings of a model that name it, or that act before the encoder sees pixels or after it.
NOT_IN_ENCODING = frozenset(
    {
        "name",
        "path",
        "revision",
        "adapter",
        "max_new_tokens",
        "form",
        "render",
        "repetition_penalty",
        "answer_after",
        "batch_size",
        "context",
    }
)


def encoder_key(model: ModelConfig, weights_hash: str) -> str:
    """SHA-256 of all that decides the bits an encoder makes of given pixels.

    That is the weights, this package's readers, the settings, the libraries, and the kind of device
    with its threads: another order of summation rounds differently.
    """
    import torch
    import transformers

    from freqexp.results.provenance import versions

    settings = {name: value for name, value in asdict(model).items() if name not in NOT_IN_ENCODING}
    parts = {
        "settings": {k: v.name if isinstance(v, Enum) else v for k, v in settings.items()},
        "weights": weights_hash,
        "code": _readers_hash(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "onnxruntime": versions().get("onnxruntime"),
        "cpu": [torch.backends.cpu.get_cpu_capability(), torch.get_num_threads()],
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _readers_hash() -> str:
    folder = package_dir() / "readers"
    return files_digest(folder, folder.rglob("*.py"))


class DiskEncodings:
    """Encodings of one encoder in a folder that others share; its files take at most `limit_bytes`.

    Raises UserError when the folder cannot be made. A file that cannot be written costs a warning,
    and one that cannot be read is removed with a warning: the encoder can always do it again.
    """

    def __init__(self, folder: Path, encoder: str, limit_bytes: int) -> None:
        self._folder = folder
        self._encoder = encoder
        self._limit_bytes = limit_bytes
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"cannot write {folder}: {error.strerror}") from None

    def path(self, pixels_key: str) -> Path:
        """Where the encoding of the pages `pixels_key` stands for is, or would be."""
        name = hashlib.sha256(f"{self._encoder} {pixels_key}".encode()).hexdigest()
        return self._folder / f"{name}{SUFFIX}"

    def get(self, pixels_key: str) -> list[VisionTokens] | None:
        """The encoding, on the CPU, from now on the most recently used; None when it is not here.

        A file that is damaged is removed, with a warning.
        """
        path = self.path(pixels_key)
        try:
            vision = _load(path)
            # Removed by another process since: what was read is right all the same.
            with contextlib.suppress(OSError):
                os.utime(path)
        except FileNotFoundError:
            return None
        except Exception as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            warnings.warn(f"{path}: damaged, is made again ({reason})", stacklevel=2)
            with contextlib.suppress(OSError):
                path.unlink()
            return None
        return vision

    def put(self, pixels_key: str, vision: Sequence[VisionTokens]) -> None:
        """Keep an encoding; one that is larger than all the room there is, is not kept."""
        tensors = [tensor for page in vision for _, tensor in _tensors(page)]
        size_bytes = sum(tensor.nelement() * tensor.element_size() for tensor in tensors)
        if size_bytes > self._limit_bytes:
            return
        path = self.path(pixels_key)
        partial = path.with_suffix(f".{os.getpid()}{PARTIAL}")
        try:
            _save(vision, partial)
            self._make_room(partial.stat().st_size)
            os.replace(partial, path)
        except OSError as error:
            with contextlib.suppress(OSError):
                partial.unlink()
            warnings.warn(f"{path}: not kept ({error.strerror or error})", stacklevel=2)

    def _make_room(self, needed_bytes: int) -> None:
        """Remove what was used longest ago until `needed_bytes` fit, and leftovers of the killed.

        Processes that do this at once may remove a file too many, never one too few.
        """
        kept: list[tuple[float, int, Path]] = []
        for path in self._folder.iterdir():
            with contextlib.suppress(FileNotFoundError):
                stat = path.stat()
                if path.suffix == SUFFIX:
                    kept.append((stat.st_mtime, stat.st_size, path))
                elif path.suffix == PARTIAL and time.time() - stat.st_mtime > ABANDONED_SECONDS:
                    path.unlink()
        used_bytes = sum(size for _, size, _ in kept)
        for _, size, path in sorted(kept):
            if used_bytes + needed_bytes <= self._limit_bytes:
                return
            path.unlink(missing_ok=True)
            used_bytes -= size


def _tensors(page: VisionTokens) -> Iterator[tuple[str, Tensor]]:
    """Features and levels of the deep stack by number, signals by name."""
    for level, tensor in enumerate((page.features, *page.deepstack)):
        yield str(level), tensor
    yield from page.signals.items()


def _save(vision: Sequence[VisionTokens], path: Path) -> None:
    """All pages in one file; grids and a hash of the tensors' bytes in its header."""
    import torch
    from safetensors.torch import save_file

    # A view would bring its whole storage along.
    tensors = {
        f"{number}.{name}": tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for number, page in enumerate(vision)
        for name, tensor in _tensors(page)
    }
    header = {"grids": json.dumps([page.grid for page in vision]), "sha256": _hash(tensors)}
    save_file(tensors, path, metadata=header)


def _load(path: Path) -> list[VisionTokens]:
    """What `_save` wrote. Raises ValueError when the bytes are not those that were written."""
    from safetensors.torch import load

    # Read by one call: the name may be gone at the next.
    data = path.read_bytes()
    tensors = load(data)
    length = int.from_bytes(data[:_LENGTH_BYTES], "little")
    header = json.loads(data[_LENGTH_BYTES : _LENGTH_BYTES + length]).get("__metadata__", {})
    if header.get("sha256") != _hash(tensors):
        raise ValueError("the bytes are not those that were written")
    vision = []
    for number, (rows, columns) in enumerate(json.loads(header["grids"])):
        own = {
            name.partition(".")[2]: tensor
            for name, tensor in tensors.items()
            if name.startswith(f"{number}.")
        }
        signals: dict[Any, Tensor] = {n: own.pop(n) for n in list(own) if not n.isdecimal()}
        features, *deepstack = (own[str(level)] for level in range(len(own)))
        vision.append(VisionTokens(features, (rows, columns), tuple(deepstack), signals))
    return vision


def _hash(tensors: dict[str, Tensor]) -> str:
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\0".encode())
        digest.update(tensor.contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()
