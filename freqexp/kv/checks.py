"""Checks of what a compressor of the KV cache is given, and its scope."""

from __future__ import annotations

import torch

from freqexp.errors import UserError, fault
from freqexp.nouns.cache import LayerCache


def check_layer(layer: LayerCache) -> None:
    """Raises ValueError when the tensors do not fit each other, and UserError when they hold NaN or
    infinity.
    """
    keys, values = layer.keys, layer.values
    if keys.dim() != 3 or 0 in keys.shape or keys.shape[:2] != values.shape[:2]:
        got = f"{tuple(keys.shape)} and {tuple(values.shape)}"
        raise ValueError(f"keys, values: got {got}, allowed: [heads, tokens, channels] each")
    if not (keys.is_floating_point() and values.dtype == keys.dtype):
        raise ValueError(f"keys: got {keys.dtype}, allowed: a floating dtype, that of the values")
    if tuple(layer.vision.shape) != (keys.shape[1],) or layer.vision.dtype != torch.bool:
        got = f"{layer.vision.dtype} {tuple(layer.vision.shape)}"
        raise ValueError(f"vision: got {got}, allowed: bool [{keys.shape[1]}]")
    for name, values in (("keys", keys), ("values", layer.values)):
        if not torch.isfinite(values.sum(dtype=torch.float64)):
            raise UserError(f"KV cache: the {name} hold NaN or infinity; try a wider dtype")


def check_scope(scope: str) -> list[str]:
    """One line for a scope that is not offered."""
    return [] if scope in ("all", "vision") else [fault("scope", scope, "all, vision")]


def in_scope(layer: LayerCache, scope: str) -> torch.Tensor:
    """int64 [n], increasing: the tokens that a method may act on, all of them or the pages'.

    Raises UserError for scope "vision" of a prompt without pages.
    """
    if scope == "all":
        return torch.arange(layer.keys.shape[1], device=layer.keys.device)
    found = layer.vision.nonzero()[:, 0]
    if not len(found):
        allowed = "all for a prompt without vision tokens"
        raise UserError(fault("compressor.scope", scope, allowed))
    return found
