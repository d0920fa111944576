"""Adapted decoders: a LoRA (arXiv 2106.09685) or changed parameters, read from a folder.

An adapter changes the decoder alone, so what the encoder made of pages serves a model with and
without it. Reading one changes the weights themselves: inference takes what it took before.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from freqexp.readers import adapter_file
from freqexp.readers.adapter_file import FULL, LORA, Base, folder_of, refused
from freqexp.readers.bundled import weights_hash

if TYPE_CHECKING:
    from freqexp.schemas.model import ModelConfig

NAME = "default"
# What peft puts before the names of a wrapped model's parameters.
PREFIX = "base_model.model."
NAMED = 3
"""How many names an error lists."""


def apply(model: Any, config: ModelConfig) -> None:
    """Change a loaded model's weights as `config.adapter` says; None: not at all.

    Raises UserError for a folder that holds no adapter or a damaged one, one for another base, one
    whose tensors are not exactly the model's, hold NaN or infinity or change nothing.
    """
    if config.adapter is None:
        return
    kind, base = adapter_file.kind_of(config.adapter), adapter_file.base_of(config.adapter)
    _check_base(config.adapter, base, base_of(model, config))
    tensors, scales = _read(config.adapter, kind)
    asked = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    with torch.no_grad():
        if kind == LORA:
            _merge(model, config.adapter, tensors)
        else:
            _put(model, config.adapter, tensors, scales)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(asked[name])


def base_of(model: Any, config: ModelConfig) -> Base:
    """What an adapter of this model is for."""
    text = model.config.get_text_config()
    layers = getattr(text, "num_hidden_layers", None) or text.num_layers
    return Base(weights_hash(config), type(model).__name__, int(text.hidden_size), int(layers))


def decoder_parameters(model: Any) -> dict[str, nn.Parameter]:
    """Parameters of the decoder, word embeddings and output layer among them, by name."""
    inside = decoder_prefixes(model)
    return {name: p for name, p in model.named_parameters() if name.startswith(inside)}


def layer_parameters(model: Any) -> dict[str, nn.Parameter]:
    """Every parameter of the decoder but word embeddings and output layer, by name."""
    words = (model.get_input_embeddings(), model.get_output_embeddings())
    left = {id(weight) for module in words if module is not None for weight in module.parameters()}
    return {name: p for name, p in decoder_parameters(model).items() if id(p) not in left}


def layer_linears(model: Any) -> dict[str, nn.Linear]:
    """Every linear layer of the decoder but the output layer, by name."""
    inside, output = decoder_prefixes(model), model.get_output_embeddings()
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and name.startswith(inside) and module is not output
    }


def decoder_prefixes(model: Any) -> tuple[str, ...]:
    """How names of the decoder's parameters begin. Everything but the encoder in GLM-4V-9B."""
    foreign = getattr(model, "transformer", None)
    if foreign is None:
        return ("model.language_model.", "lm_head.")
    parts = [name for name, _ in foreign.named_children() if name != "vision"]
    return tuple(f"transformer.{name}." for name in parts)


def _check_base(adapter: str, made_for: Base, here: Base) -> None:
    shape = "{0.model_class} with {0.layers} layers of {0.hidden_size} channels".format
    if shape(made_for) != shape(here):
        raise refused(adapter, f"it is for {shape(made_for)}; the model is {shape(here)}")
    if made_for.weights_hash != here.weights_hash:
        then, now = (_short(base.weights_hash) for base in (made_for, here))
        raise refused(adapter, f"it is for weights {then}; the model's are {now}")


def _short(hashed: str) -> str:
    return hashed if hashed.startswith("hub:") else hashed[:12]


def _read(adapter: str, kind: str) -> tuple[dict[str, Tensor], dict[str, float]]:
    """Tensors of an adapter, and the scales of those that are differences.

    Raises UserError for a file that is none, and for NaN and infinity.
    """
    from safetensors import SafetensorError, safe_open

    file, tensors = folder_of(adapter) / kind, {}
    try:
        with safe_open(file, "pt") as opened:
            said = opened.metadata() or {}
            for name in opened.keys():  # noqa: SIM118, no dictionary
                tensors[name] = opened.get_tensor(name)
    except (SafetensorError, OSError) as error:
        raise refused(adapter, f"{file.name} can't be read: {error}") from error
    if kind == FULL and adapter_file.ENTRY not in said:
        raise refused(adapter, f"the header of {file.name} has no {adapter_file.ENTRY!r}")
    scales = _scales(adapter, said[adapter_file.ENTRY]) if kind == FULL else {}
    for name, tensor in tensors.items():
        whole = name in scales and tensor.dtype == torch.int8
        if not whole and not (tensor.is_floating_point() and bool(torch.isfinite(tensor).all())):
            raise refused(adapter, f"{name} holds what is no finite number")
    return tensors, scales


def _scales(adapter: str, entry: str) -> dict[str, float]:
    """What the entry of a file's header says of scales. Raises UserError for what are none."""
    try:
        found = json.loads(entry).get(adapter_file.SCALES, {})
        scales = {str(name): float(scale) for name, scale in found.items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise refused(adapter, "its header says nothing of a decoder") from error
    for name, scale in scales.items():
        if not 0 < scale < math.inf:
            raise refused(adapter, f"the scale of {name} is {scale}, not a number above 0")
    return scales


def _merge(model: Any, adapter: str, tensors: Mapping[str, Tensor]) -> None:
    """Merge a LoRA into the weights."""
    adapter_file.lora_config(adapter)
    from peft import LoraConfig, LoraModel

    own = {name.removeprefix(PREFIX): tensor for name, tensor in tensors.items()}
    if not any("lora_B" in name and bool(tensor.any()) for name, tensor in own.items()):
        raise refused(adapter, "every B of its LoRA is zero, so it changes nothing")
    try:
        settings: Any = LoraConfig.from_pretrained(str(folder_of(adapter)))
        tuner: Any = LoraModel(model, settings, NAME)
    except (TypeError, ValueError, KeyError, RuntimeError) as error:
        raise refused(adapter, f"peft: {str(error).splitlines()[0]}") from error
    here = injected(model)
    _check_names(model, adapter, own, here)
    for name, tensor in own.items():
        here[name].copy_(tensor)
    tuner.merge_and_unload()


def _put(
    model: Any, adapter: str, tensors: Mapping[str, Tensor], scales: Mapping[str, float]
) -> None:
    """Put parameters in place of the model's, or, where there is a scale, add what they differ."""
    own = decoder_parameters(model)
    _check_names(model, adapter, tensors, {n: own[n] for n in tensors if n in own})
    differs = False
    for name, tensor in tensors.items():
        new = tensor.to(own[name])
        if name in scales:
            difference = scales[name] * tensor.to(own[name].device, torch.float32)
            new = (own[name].float() + difference).to(own[name])
        differs = differs or not torch.equal(new, own[name])
        own[name].copy_(new)
    if not differs:
        raise refused(adapter, "it is equal to the base, so it changes nothing")


def injected(model: Any) -> dict[str, Tensor]:
    """Tensors of the LoRA on a model by their names in a file, in the parameters' own memory."""
    from peft import get_peft_model_state_dict

    found: dict[str, Tensor] = get_peft_model_state_dict(
        model, adapter_name=NAME, save_embedding_layers=False
    )
    return found


def _check_names(
    model: Any, adapter: str, own: Mapping[str, Tensor], here: Mapping[str, Tensor]
) -> None:
    """Raises UserError unless both have the same names and shapes, all in the decoder."""
    both, inside = own.keys() & here.keys(), decoder_prefixes(model)
    wrong = {
        "outside the decoder": [n for n in own.keys() | here.keys() if not n.startswith(inside)],
        "missing": here.keys() - own.keys(),
        "unexpected": own.keys() - here.keys(),
        "misshapen": [name for name in both if own[name].shape != here[name].shape],
        "not in memory": [name for name in both if here[name].is_meta],
    }
    for kind, names in wrong.items():
        if names:
            listed = ", ".join(sorted(names)[:NAMED])
            raise refused(adapter, f"{len(names)} tensors are {kind}: {listed}")
