"""What runs are not alike in, apart from what they are there to compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, fields
from enum import Enum
from typing import Any

from freqexp.config.identity import NOT_IN_IDENTITY
from freqexp.config.run import RunConfig
from freqexp.schemas.model import ModelConfig
from freqexp.schemas.served import NOT_SCORED

COMPARED = frozenset(
    {
        *("compressor", "profile", "keep_ratio", "keep_tokens", "keep_like"),
        *("model.name", "model.path", "model.revision", "model.adapter", "model.input"),
        *("needles.count", "needles.path"),
        *(f"model.{name}" for name in NOT_SCORED),
    }
)
"""What a row says by itself: the method, how much it keeps, what a name or a hash tells; and how a
served model is called."""


def conditions(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a saved configuration that can change a score and are not compared, by their
    dotted names.

    Runs of different conditions are no rivals. A setting that the configuration does not have, as
    it was not known yet, has its default.
    """
    found = {**_defaults("", RunConfig), **_defaults("model.", ModelConfig)}
    found |= _flat("", {key: value for key, value in config.items() if key not in NOT_IN_IDENTITY})
    return {name: value for name, value in sorted(found.items()) if not _is_compared(name)}


def differing(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """For each configuration its conditions that are not the same in all of them, as in
    "max_new_tokens=3,dtype=bfloat16".
    """
    found = [conditions(config) for config in configs]
    names = dict.fromkeys(name for each in found for name in each)
    apart = [name for name in names if len({repr(each.get(name)) for each in found}) > 1]
    return [",".join(_said(name, each.get(name)) for name in apart) for each in found]


def _flat(prefix: str, value: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, inner in value.items():
        if isinstance(inner, Mapping):
            found |= _flat(f"{prefix}{key}.", inner)
        else:
            found[f"{prefix}{key}"] = _name(inner)
    return found


def _defaults(prefix: str, schema: type) -> dict[str, Any]:
    kept: list[Field[Any]] = [item for item in fields(schema) if item.default is not MISSING]
    known = {f"{prefix}{item.name}": _name(item.default) for item in kept}
    return {name: value for name, value in known.items() if name not in NOT_IN_IDENTITY}


def _is_compared(name: str) -> bool:
    return any(name == each or name.startswith(f"{each}.") for each in COMPARED)


def _said(name: str, value: Any) -> str:
    """As in "max_new_tokens=3": without the group where that is the model's."""
    shown = str(value).lower() if isinstance(value, bool) else str(value)
    return f"{name.removeprefix('model.')}={shown}"


def _name(value: Any) -> Any:
    return value.name if isinstance(value, Enum) else value
