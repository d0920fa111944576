"""Hydra's composition of this project's YAML, and overrides as it needs them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from freqexp.config.run import RunConfig
from freqexp.schemas.compressor import CombinedConfig

PRIMARY = "run"
# What stands before `codec` or `token` where Hydra chooses the parts of a combination.
PLACE = "compressor@compressor."
FREE_FORM = ("cluster.extra.",)
# Hydra also raises plain ValueErrors, and lets those of the YAML parser through.
COMPOSE_ERRORS = (HydraException, OmegaConfBaseException, ValueError, YAMLError)
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
    return cfg


def compose_raw(overrides: Sequence[str], config_name: str = PRIMARY) -> DictConfig:
    """Hydra's composition with Hydra's own part, inside `hydra_ready`."""
    import hydra

    return hydra.compose(config_name, overrides=normalize(overrides), return_hydra_config=True)


def normalize(overrides: Sequence[str]) -> list[str]:
    """Overrides as Hydra needs them where that is not what a person would type.

    `needles=2,4` becomes `needles='2','4'` (names of options must be text), `render=x` becomes
    `render@model.render=x` (the group's place in the configuration), and `codec=x` and `token=x`
    become `compressor@compressor.codec=x` and so on (a place in `compressor=combined`). A key of a
    free form, as `cluster.extra.reservation`, is added where it is not there.
    """
    return [_normalized(override) for override in overrides]


def _normalized(override: str) -> str:
    key, equals, value = override.partition("=")
    if key == "needles":
        value = _BARE_INTEGER.sub(lambda number: f"'{number[0]}'", value)
    if key.lstrip("+").startswith(FREE_FORM):
        key = f"++{key.lstrip('+')}"
    if key == "render":
        key = "render@model.render"
    if key in CombinedConfig.places:
        key = f"{PLACE}{key}"
    return f"{key}{equals}{value}"
