"""What the methods of a run need and its model can't give: found before anything is loaded."""

from __future__ import annotations

from freqexp.config.run import RunConfig
from freqexp.errors import UserError, fault
from freqexp.outside.offered import READER
from freqexp.readers.abilities import Abilities, abilities
from freqexp.readers.adapter_file import faults as adapter_faults
from freqexp.readers.bundled import decoder_layers
from freqexp.readers.folder_check import folder_faults
from freqexp.schemas.choices import (
    COMPRESSES_CACHE,
    DROPS_BEFORE_ENCODER,
    PRUNES_IN_DECODER,
    SHOWS_LAYERS,
    SIGNALS,
    Family,
    Input,
)
from freqexp.schemas.compressor import adaptive_options
from freqexp.schemas.in_decoder import InDecoderConfig
from freqexp.schemas.kv import KVConfig
from freqexp.schemas.kv_codes import LowRankConfig
from freqexp.schemas.model import ModelConfig


def model_faults(cfg: RunConfig) -> list[str]:
    """What a method needs and the chosen model can't give, by name."""
    family = cfg.model.family
    served = family in (Family.ppocr, Family.api, Family.outside)
    faults = [] if served else adapter_faults(cfg.model.adapter)
    faults += folder_faults(cfg.model)
    try:
        able = abilities(cfg.model)
    except UserError as error:
        # A name that no package offers is a fault of the model's schema.
        offered = READER.faults(getattr(cfg.model, "source", ""), READER.field, "")
        return faults if offered else [*faults, str(error)]
    as_text = cfg.model.input is Input.text
    if as_text and family is Family.outside and not able.reads_text:
        faults.append(fault("model.input", "text", f"pages for {cfg.model.name}, which reads none"))
    configs = [part.config for part in cfg.compressor.parts(cfg.keep_ratio)]
    counts = adaptive_options().get(cfg.keep_like or "")
    if counts is not None and cfg.compressor.uses_budget:
        configs.append(counts)
    for config in configs:
        missing = [name for name in config.signals if name not in able.signals]
        if missing:
            others = ", ".join(f.value for f in Family if not set(missing) - set(SIGNALS[f]))
            allowed = f"families that give {' and '.join(missing)}: {others}"
            name = f"{family.value} with compressor {config.name}"
            faults.append(fault("model.family", name, allowed))
        elif config.before_encoder and not able.drops_before_encoder:
            others = ", ".join(f.value for f in Family if f in DROPS_BEFORE_ENCODER)
            name = f"{family.value} with compressor {config.name} before the encoder"
            faults.append(fault("model.family", name, others))
        elif isinstance(config, InDecoderConfig):
            faults += _layer_faults(config, cfg.model, able)
        elif config.stage == "token" and family is Family.api:
            name = f"{family.value} with compressor {config.name} on vision tokens"
            others = ", ".join(f.value for f in Family if f is not Family.api)
            faults.append(fault("model.family", name, others))
        elif isinstance(config, KVConfig):
            faults += _cache_faults(config, family, able)
            if isinstance(config, LowRankConfig):
                faults += _basis_faults(config, cfg.model)
    return faults


def input_faults(cfg: RunConfig) -> list[str]:
    """A method on pages or their tokens where there are none, and one on text beside pages."""
    as_text = cfg.model.input is Input.text
    for part in cfg.compressor.parts(cfg.keep_ratio):
        method = part.config
        if as_text and method.stage not in ("text", "kv"):
            allowed = (
                "none, truncate or a method on the KV cache with model.input=text, which leaves no "
                "pages and no vision tokens"
            )
            return [fault("compressor", f"{method.name} (stage {method.stage})", allowed)]
        if method.stage == "text" and not as_text:
            allowed = f"text for compressor {method.name}, which drops turns of a text"
            return [fault("model.input", cfg.model.input.value, allowed)]
        if method.stage == "text" and cfg.model.family is Family.api and cfg.keep_tokens:
            allowed = "null with model=api, whose tokens can't be counted here: keep_ratio"
            return [fault("keep_tokens", cfg.keep_tokens, allowed)]
    return []


def _cache_faults(method: KVConfig, family: Family, able: Abilities) -> list[str]:
    """A family whose cache can't be compressed, or not by a method that looks into its layers."""
    inside = bool(method.queries) or method.layer_budgets or method.library is not None
    if able.shows_layers if inside else able.compresses_cache:
        return []
    others = SHOWS_LAYERS if inside else COMPRESSES_CACHE
    name = f"{family.value} with compressor {method.name} on the KV cache"
    return [fault("model.family", name, ", ".join(f.value for f in Family if f in others))]


def _basis_faults(method: LowRankConfig, model: ModelConfig) -> list[str]:
    """Bases of another number of layers than local weights have."""
    layers = decoder_layers(model)
    return [] if layers is None else method.check_layers(layers, "compressor")


def _layer_faults(method: InDecoderConfig, model: ModelConfig, able: Abilities) -> list[str]:
    """A family whose decoder can't drop tokens, and a layer outside local weights; those of the hub
    say how many layers they have when they are loaded.
    """
    if not able.prunes_in_decoder:
        others = ", ".join(f.value for f in Family if f in PRUNES_IN_DECODER)
        name = f"{model.family.value} with compressor {method.name} inside the decoder"
        return [fault("model.family", name, others)]
    layers = decoder_layers(model)
    if layers is None or method.layer < layers:
        return []
    allowed = f"1 to {layers - 1} for these weights of {layers} layers"
    return [fault("compressor.layer", method.layer, allowed)]
