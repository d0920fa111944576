"""Hydra's composition of this project's YAML, and overrides as it needs them."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from freqexp.composing.store import register
from freqexp.config.run import RunConfig
from freqexp.paths import conf_dir, launchers_dir
from freqexp.schemas.compressor import CombinedConfig

PRIMARY = "run"
# What stands before `codec` or `token` where Hydra chooses the parts of a combination.
PLACE = "compressor@compressor."
FREE_FORM = ("cluster.extra.",)
# Hydra also raises plain ValueErrors, and lets those of the YAML parser through.
COMPOSE_ERRORS = (HydraException, OmegaConfBaseException, ValueError, YAMLError)
_BARE_INTEGER = re.compile(r"(?<![\w'\".])\d+(?![\w'\".])")


def to_run(config: DictConfig) -> RunConfig:
    """A composed configuration as dataclasses, interpolations resolved."""
    cfg = OmegaConf.to_object(config)
    assert isinstance(cfg, RunConfig)
    return cfg


def compose_raw(overrides: Sequence[str], config_name: str = PRIMARY) -> DictConfig:
    """Hydra's composition, inside `hydra_ready`."""
    import hydra

    return hydra.compose(config_name, overrides=normalize(overrides))


@contextmanager
def hydra_ready() -> Iterator[None]:
    """Hydra's compose API on this project's YAML; what was initialised before comes back after."""
    from hydra import initialize_config_dir

    prepare()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        yield


def prepare() -> None:
    """Let Hydra find the schemas and, in a checkout, its launchers before any installed ones."""
    register()
    folder = launchers_dir()
    if folder.is_dir() and sys.path[0] != str(folder):
        sys.path.insert(0, str(folder))


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
