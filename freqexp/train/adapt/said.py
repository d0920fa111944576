"""What a training is: all that decides what comes out of it."""

from __future__ import annotations

from dataclasses import asdict
from enum import Enum
from typing import TYPE_CHECKING, Any

from freqexp.config.identity import identity
from freqexp.readers.bundled import weights_hash

if TYPE_CHECKING:
    from freqexp.config.run import RunConfig
    from freqexp.train.adapt.config import AdaptConfig

# What changes no step but by rounding.
NOT_IN_IDENTITY = ("out", "threads", "checkpoint_every", "recompute", "store")


def settings(config: AdaptConfig, run: RunConfig) -> dict[str, Any]:
    """All that decides what comes out, as plain values by dotted names."""
    own = {name: value for name, value in asdict(config).items() if name not in NOT_IN_IDENTITY}
    kept = identity(run)
    parts = {name: kept[name] for name in ("model", "compressor", "needles")}
    for name in ("profile", "keep_ratio", "keep_tokens", "keep_like"):
        if name in kept:
            parts[name] = kept[name]
    return {
        **_flat({"adapt": own, **parts}),
        "weights": weights_hash(run.model),
    }


def _flat(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, inner in value.items():
        if isinstance(inner, dict):
            found |= _flat(inner, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = _plain(inner)
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value
