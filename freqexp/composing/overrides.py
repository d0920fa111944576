"""Hydra's composition of this project's YAML, and overrides as it needs them."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Any, get_type_hints

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from freqexp.config.cluster import ClusterConfig
from freqexp.config.run import RunConfig
from freqexp.schemas.compressor import CombinedConfig
from freqexp.schemas.model import ModelConfig
from freqexp.schemas.needles import NeedlesConfig

PRIMARY = "run"
# What stands before `codec` or `token` where Hydra chooses the parts of a combination.
PLACE = "compressor@compressor."
FREE_FORM = ("cluster.extra.", "model.settings.", "model.extra_body.")
# Hydra also raises plain ValueErrors, and lets those of the YAML parser through.
COMPOSE_ERRORS = (HydraException, OmegaConfBaseException, ValueError, YAMLError)
# What Hydra would read as a number or a truth, or could not read, where text is meant.
_NO_TEXT = re.compile(
    r"[+-]?[\d_]*\.?[\d_]+\.?([eE][+-]?\d+)?|(?i:true|false|nan|[+-]?inf)|.*[^\w./:@%+*$-].*|.*[^\x00-\x7f].*"
)
_FUNCTION = re.compile(r"[a-z]+\(.*\)")
_BARE_INTEGER = re.compile(r"(?<![\w'\".])\d+(?![\w'\".])")


def to_run(config: DictConfig) -> RunConfig:
    """A composed configuration, with or without Hydra's part, as dataclasses, interpolations
    resolved.
    """
    if "hydra" in config:
        config = config.copy()
        with open_dict(config):
            del config["hydra"]
    cfg = OmegaConf.to_object(config)
    assert isinstance(cfg, RunConfig)
    _rounded(cfg)
    return cfg


def _rounded(value: Any) -> Any:
    """The same with 12 digits of each number: of `range(0.3,0.8,0.2)` the last is 0.7."""
    if isinstance(value, float):
        return float(f"{value:.12g}")
    if is_dataclass(value) and not isinstance(value, type):
        # In place: keys that no schema has are attributes, too, and are to be found.
        for field in fields(value):
            setattr(value, field.name, _rounded(getattr(value, field.name)))
    return [_rounded(each) for each in value] if isinstance(value, list) else value


def compose_raw(overrides: Sequence[str], config_name: str = PRIMARY) -> DictConfig:
    """Hydra's composition with Hydra's own part, inside `hydra_ready`."""
    import hydra

    return hydra.compose(config_name, overrides=normalize(overrides), return_hydra_config=True)


@functools.cache
def text_keys() -> frozenset[str]:
    """Keys whose values are text."""
    sections = {"": RunConfig, "model.": ModelConfig, "needles.": NeedlesConfig}
    sections["cluster."] = ClusterConfig
    return frozenset(
        f"{prefix}{name}"
        for prefix, section in sections.items()
        for name, kind in get_type_hints(section).items()
        if kind in (str, str | None)
    )


def _as_text(value: str) -> str:
    """A value in quotes where Hydra would not take it for the text it is."""
    plain = value in ("", "null") or "${" in value or _FUNCTION.fullmatch(value)
    if plain or value[0] in "'\"" or not _NO_TEXT.fullmatch(value):
        return value
    escaped = value.replace("'", "\\'")
    return f"'{escaped}'"


def normalize(overrides: Sequence[str]) -> list[str]:
    """Overrides as Hydra needs them where that is not what a person would type.

    `needles=2,4` becomes `needles='2','4'` (names of options must be text), `render=x` becomes
    `render@model.render=x` (the group's place in the configuration), and `codec=x` and `token=x`
    become `compressor@compressor.codec=x` and so on (a place in `compressor=combined`). A key of a
    free form, as `cluster.extra.reservation`, is added where it is not there. What is typed for a
    key of text, such as output_dir=2026_11_25 or model.path=~/a b, is that text; commas divide it
    unless there is a file of that name.
    """
    return [_normalized(override) for override in overrides]


def _normalized(override: str) -> str:
    key, equals, value = override.partition("=")
    if key == "needles":
        value = _BARE_INTEGER.sub(lambda number: f"'{number[0]}'", value)
    if key.lstrip("+").startswith(FREE_FORM):
        key = f"++{key.lstrip('+')}"
    if key.lstrip("+") in text_keys() and value[:1] not in ("'", '"', "[", "{"):
        whole = key == "notes" or os.path.exists(os.path.expanduser(value))
        parts = [value] if whole else value.split(",")
        value = ",".join(map(_as_text, parts))
    if key == "render":
        key = "render@model.render"
    if key in CombinedConfig.places:
        key = f"{PLACE}{key}"
    return f"{key}{equals}{value}"
