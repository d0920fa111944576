"""A learned token compressor's file: FOLDER/compressor.safetensors, its network's tensors, those of
fractions in float32. The entry "compressor" of its header says in JSON of which method they are,
with which settings, and for tokens of how many channels on which grid (null: any).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from freqexp.coding.tensor_header import header_entry
from freqexp.errors import UserError, fault
from freqexp.paths import adapted_dir

if TYPE_CHECKING:
    from torch import Tensor, nn

FILE = "compressor.safetensors"
ENTRY = "compressor"
FIELD = "compressor."
CODE_WORDS = ".codes"
"""How buffers are called that are learned as parameters are."""


@dataclass(frozen=True)
class Said:
    """What a file says of itself. settings: those that fix shapes and meaning, by their names."""

    method: str
    settings: Mapping[str, object]
    channels: int
    grid: tuple[int, int] | None = None


def path_of(weights: str) -> Path:
    """The file in a folder, or, of "bundled_half", in the package."""
    return adapted_dir(weights) / FILE


def header(weights: str, prefix: str = FIELD) -> Said:
    """What the file says of itself. Imports nothing heavy.

    Raises UserError, which names the field `weights` under `prefix`, for a file that can't be read
    or is no compressor's.
    """
    try:
        found = header_entry(path_of(weights), ENTRY)
        grid = found["grid"]
        said = Said(
            str(found["method"]),
            dict(found["settings"]),
            int(found["channels"]),
            None if grid is None else (int(grid[0]), int(grid[1])),
        )
        if min(said.channels, *(said.grid or (1, 1))) < 1:
            raise ValueError("a size below 1")
    except OSError as error:
        raise _refused(weights, error.strerror or type(error).__name__, prefix) from error
    except (ValueError, KeyError, TypeError, IndexError) as error:
        why = "its header says nothing of a compressor"
        raise _refused(weights, why, prefix) from error
    return said


def differences(
    weights: str | None, method: str, settings: Mapping[str, object], prefix: str = FIELD
) -> list[str]:
    """One line for each setting that the weights were not trained with; none without weights."""
    if weights is None:
        return []
    try:
        said = header(weights, prefix)
    except UserError as error:
        return [str(error)]
    if said.method != method:
        return [fault(f"{prefix}weights", weights, f"weights of {method} (these: {said.method})")]
    # As JSON has them, a tuple is a list.
    ours, lacking = json.loads(json.dumps(dict(settings))), object()
    faults = []
    for name in sorted({*ours, *said.settings}):
        own, theirs = ours.get(name, lacking), said.settings.get(name, lacking)
        if theirs is lacking or own is lacking:
            why = f"weights that {'say' if theirs is lacking else 'have no'} {name}"
            faults.append(fault(f"{prefix}weights", weights, why))
        elif own != theirs:
            allowed = f"{theirs!r} (what the weights in {weights} were trained with)"
            faults.append(fault(f"{prefix}{name}", own, allowed))
    return faults


def write(network: nn.Module, said: Said, folder: Path) -> Path:
    """Write a network's file; returns its path. Raises UserError when it can't be written."""
    import torch
    from safetensors.torch import save

    tensors = {}
    for name, tensor in network.state_dict().items():
        dtype = torch.float32 if tensor.is_floating_point() else tensor.dtype
        tensors[name] = tensor.detach().to("cpu", dtype).contiguous()
    data = save(tensors, metadata={ENTRY: json.dumps(asdict(said))})
    path = folder.expanduser() / FILE
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(data)
        part.replace(path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from error
    return path


def load(network: nn.Module, weights: str, prefix: str = FIELD) -> None:
    """Put the file's tensors into a network made for what its header says.

    Raises UserError for tensors that are missing, not the network's, of another shape or kind, not
    finite, or, of parameters and code words, all zero: nothing that was trained is.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        found = load_file(path_of(weights))
    except (SafetensorError, OSError) as error:
        raise _refused(weights, str(error), prefix) from error
    wanted = network.state_dict()
    for name in sorted({*found, *wanted}):
        if name not in wanted:
            raise _refused(weights, f"{name} is no tensor of this compressor", prefix)
        if name not in found:
            raise _refused(weights, f"{name} is missing", prefix)
        why = _wrong(found[name], wanted[name])
        if why:
            raise _refused(weights, f"{name} {why}", prefix)
    learned = {name for name, _ in network.named_parameters()}
    learned |= {name for name in wanted if name.endswith(CODE_WORDS)}
    for name in sorted(learned):
        if found[name].numel() and not bool(found[name].any()):
            raise _refused(weights, f"{name} is all zero", prefix)
    try:
        network.load_state_dict(found)
    except ValueError as error:
        raise _refused(weights, str(error), prefix) from error


def _wrong(found: Tensor, wanted: Tensor) -> str:
    import torch

    if found.shape != wanted.shape:
        return f"is of {list(found.shape)}, not {list(wanted.shape)}"
    if found.dtype != wanted.dtype:
        return f"is {found.dtype}, not {wanted.dtype}"
    if found.is_floating_point() and not bool(torch.isfinite(found).all()):
        return "holds NaN or infinity"
    return ""


def _refused(weights: str, why: str, prefix: str) -> UserError:
    allowed = f"a folder with a {FILE} that `python -m freqexp.train adapt` made ({why})"
    return UserError(fault(f"{prefix}weights", weights, allowed))
