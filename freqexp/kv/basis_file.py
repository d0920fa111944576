"""A file of bases: directions and means of every layer's keys and values, made before a run.

Safetensors; for layer n "n.keys.directions" and "n.values.directions", float32 [KV heads, channels,
channels], one direction a row, that of the most variance first, and "n.keys.mean" and
"n.values.mean", float32 [KV heads, channels]. The entry "bases" of its header says in JSON of which
model they are, of how many layers, heads and channels, and of how many requests they were made.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from freqexp.coding.tensor_header import header_entry
from freqexp.errors import UserError, fault

if TYPE_CHECKING:
    from freqexp.kv.principal import Basis

SIZES = ("layers", "heads", "channels", "requests")
SIDES = ("keys", "values")
# All in one entry of the header: safetensors writes several in any order.
ENTRY = "bases"
FIELD = "compressor.basis_path"


@dataclass(frozen=True, eq=False)
class Bases:
    """layers: keys' and values' of each layer, all directions. model: its name. requests: of how
    many they were made.
    """

    layers: tuple[tuple[Basis, Basis], ...]
    model: str
    requests: int


def sizes(path: str, field: str = FIELD) -> Mapping[str, int]:
    """Layers, heads, channels and requests by the file's header. Imports nothing heavy.

    Raises UserError, which names `field`, for a file that can't be read or is none of bases.
    """
    try:
        said = header_entry(path, ENTRY)
        found = {name: int(said[name]) for name in SIZES}
        if min(found.values()) < 1:
            raise ValueError("a size below 1")
    except OSError as error:
        raise _refused(path, error.strerror or type(error).__name__, field) from error
    except (ValueError, KeyError, TypeError) as error:
        raise _refused(path, "its header says nothing of bases", field) from error
    return found


def write(bases: Bases, path: Path) -> None:
    """Write the file. Raises UserError when it can't be written."""
    import torch
    from safetensors.torch import save

    tensors = {
        f"{number}.{side}.{name}": tensor.to("cpu", torch.float32).contiguous()
        for number, layer in enumerate(bases.layers)
        for side, basis in zip(SIDES, layer, strict=True)
        for name, tensor in basis._asdict().items()
    }
    heads, channels = bases.layers[0][0].mean.shape
    numbers = (len(bases.layers), heads, channels, bases.requests)
    said = {"model": bases.model, **dict(zip(SIZES, numbers, strict=True))}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(save(tensors, metadata={ENTRY: json.dumps(said)}))
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from error


def load(path: str) -> Bases:
    """The file's bases. Raises UserError for one that can't be read, is none of bases, or lacks
    tensors of the shapes that its header says.
    """
    from safetensors import SafetensorError, safe_open

    from freqexp.kv.principal import Basis

    said = sizes(path)
    heads, channels = said["heads"], said["channels"]
    shapes = {"directions": [heads, channels, channels], "mean": [heads, channels]}
    layers = []
    try:
        with safe_open(Path(path).expanduser(), framework="pt") as file:
            model = str(json.loads(file.metadata()[ENTRY]).get("model", ""))
            for number in range(said["layers"]):
                sides = []
                for side in SIDES:
                    names = {part: f"{number}.{side}.{part}" for part in shapes}
                    found = {part: file.get_tensor(name) for part, name in names.items()}
                    for part, tensor in found.items():
                        if list(tensor.shape) != shapes[part]:
                            got = f"{names[part]} of {list(tensor.shape)}, not {shapes[part]}"
                            raise _refused(path, got)
                    sides.append(Basis(**found))
                layers.append((sides[0], sides[1]))
    except SafetensorError as error:
        raise _refused(path, str(error)) from error
    return Bases(tuple(layers), model, said["requests"])


def _refused(path: str, why: str, field: str = FIELD) -> UserError:
    allowed = f"a file that `python -m freqexp.train bases` made ({why})"
    return UserError(fault(field, path, allowed))
