"""Adapters of a decoder (`freqexp.readers.adapters`), made and saved."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from freqexp.errors import UserError, fault
from freqexp.readers import adapter_file
from freqexp.readers.adapter_file import FULL, LORA
from freqexp.readers.adapters import (
    NAME,
    NAMED,
    PREFIX,
    base_of,
    decoder_parameters,
    decoder_prefixes,
    injected,
)
from freqexp.readers.bundled import folder as bundled_folder

if TYPE_CHECKING:
    from freqexp.schemas.model import ModelConfig

LEVELS = 127
"""Of 8 bits, on either side of 0."""
OUTPUTS = {"lm_head", "output_layer"}
"""Output layers, which a LoRA leaves alone."""


def lora(model: Any, rank: int, alpha: int, dropout: float = 0.0) -> list[nn.Parameter]:
    """Put a LoRA on every linear layer of the decoder but the output layer; its parameters, the
    only ones of the model that ask for gradients from now on.

    It changes nothing before it is trained.
    """
    from peft import LoraConfig, inject_adapter_in_model

    settings = LoraConfig(
        r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=_targets(model)
    )
    inject_adapter_in_model(settings, model, NAME)
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


@contextmanager
def disabled(model: Any) -> Iterator[None]:
    """The model as it is without its LoRA."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    layers = [module for module in model.modules() if isinstance(module, BaseTunerLayer)]
    asked = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    try:
        for layer in layers:
            layer.enable_adapters(False)
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(asked[name])


def save_lora(
    model: Any,
    config: ModelConfig,
    folder: Path,
    said: Mapping[str, object],
    dtype: torch.dtype | None = None,
) -> None:
    """Write the LoRA that `lora` put on a model, as peft itself would.

    said: JSON values for adapt.json. dtype: of the tensors in the file; None: their own.
    Raises UserError when it can't be written, holds NaN or infinity, or would be for a base that is
    itself adapted, or lie among its files.
    """
    _check_place(config, folder)
    settings = model.peft_config[NAME]
    with tempfile.TemporaryDirectory() as temporary:
        settings.save_pretrained(temporary)
        text = (Path(temporary) / adapter_file.LORA_CONFIG).read_text(encoding="utf-8")
    tensors = {f"{PREFIX}{name}": _stored(name, t, dtype) for name, t in injected(model).items()}
    adapter_file.write(folder, LORA, tensors, base_of(model, config), said, text)


def save_full(
    model: Any,
    config: ModelConfig,
    folder: Path,
    said: Mapping[str, object],
    names: Collection[str] | None = None,
    dtype: torch.dtype | None = None,
    base: Any = None,
) -> None:
    """Write changed parameters of the decoder.

    names: which; None: those that ask for gradients. base: the model as it was; matrices are then
    written as their differences to its own, in 8 bits, with one scale each. Otherwise as
    `save_lora`.
    """
    _check_place(config, folder)
    own = decoder_parameters(model)
    if names is None:
        names = [name for name, parameter in own.items() if parameter.requires_grad]
    strange = sorted(set(names) - set(own))
    if strange or not names:
        raise UserError(fault("names", strange[:NAMED], "one parameter of the decoder or more"))
    tensors = {name: _stored(name, own[name], dtype) for name in names}
    scales = {}
    if base is not None:
        was = decoder_parameters(base)
        for name in [name for name in names if own[name].dim() > 1]:
            tensors[name], scales[name] = _difference(tensors[name], was[name])
    adapter_file.write(folder, FULL, tensors, base_of(model, config), said, scales=scales)


def _targets(model: Any) -> str:
    """A pattern of the names of the decoder's linear layers. Encoders have some of the same last
    names.
    """
    inside = decoder_prefixes(model)
    found = {
        name.split(".")[-1]
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and name.startswith(inside)
    }
    found -= OUTPUTS
    start = "|".join(map(re.escape, inside))
    return rf"(?:{start}).*\.(?:{'|'.join(sorted(found))})"


def _stored(name: str, tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    stored = tensor.detach().to("cpu", dtype or tensor.dtype).contiguous()
    if not bool(torch.isfinite(stored).all()):
        raise UserError(f"{name} holds what is no finite number and is not saved")
    return stored


def _difference(tensor: Tensor, base: Tensor) -> tuple[Tensor, float]:
    """What a tensor differs by from another one, as int8 of the same shape, and their unit."""
    difference = tensor.float() - base.detach().to("cpu", torch.float32)
    unit = float(difference.abs().max()) / LEVELS or 1.0
    return (difference / unit).round().to(torch.int8).contiguous(), unit


def _check_place(config: ModelConfig, folder: Path) -> None:
    if config.adapter is not None:
        allowed = "null while an adapter is made: it would be for weights that are nowhere"
        raise UserError(fault(adapter_file.FIELD, config.adapter, allowed))
    base = bundled_folder() if config.path is None else Path(config.path).expanduser()
    if base.is_dir() and folder.resolve().is_relative_to(base.resolve()):
        allowed = f"one outside {base}, whose hash would change"
        raise UserError(fault("folder", str(folder), allowed))
