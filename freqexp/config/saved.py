"""Runs as YAML files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freqexp.config.run import RunConfig
from freqexp.errors import ConfigError, UserError, fault
from freqexp.schemas.choices import Family
from freqexp.schemas.compressor import CombinedConfig, chosen
from freqexp.schemas.method import CompressorConfig
from freqexp.schemas.model import ModelConfig
from freqexp.schemas.outside_model import OutsideModelConfig
from freqexp.schemas.render import RENDERS, RenderConfig
from freqexp.schemas.section import option_name
from freqexp.schemas.served import ServedConfig

if TYPE_CHECKING:
    from omegaconf import Container

_MODELS = {Family.api.name: ServedConfig, Family.outside.name: OutsideModelConfig}


def to_yaml(cfg: RunConfig) -> str:
    """Every value of a run, as `from_yaml` reads it."""
    from omegaconf import OmegaConf

    return OmegaConf.to_yaml(OmegaConf.structured(cfg))


def from_yaml(path: str | Path, folders: Sequence[Path | str] = ()) -> RunConfig:
    """The run saved by `to_yaml`; ranges are `freqexp.config.check`'s to check.

    folders: where methods of the user's own are, beside those that are installed.
    Raises UserError for a file that can't be read, ConfigError for one that is no run.
    """
    import yaml
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        saved = OmegaConf.create(Path(path).read_text(encoding="utf-8"))
        schema = OmegaConf.structured(RunConfig)
        method = _method(saved, "compressor.name", folders)
        schema.compressor = compressor_schema(method)
        for place in _places(method):
            key = f"compressor.{place}"
            OmegaConf.update(schema, key, _method(saved, f"{key}.name", folders))
        schema.model = _MODELS.get(OmegaConf.select(saved, "model.family"), ModelConfig)
        schema.model.render = _render(saved, "model.render.name")
        cfg = OmegaConf.to_object(OmegaConf.merge(schema, saved))
    except OSError as error:
        raise UserError(f"{path}: can't be read ({error.strerror})") from error
    except (OmegaConfBaseException, yaml.YAMLError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError([f"{path}: not a run this version can read ({reason})"]) from error
    assert isinstance(cfg, RunConfig)
    return cfg


def _places(option: type[CompressorConfig]) -> tuple[str, ...]:
    """Keys of a combination at which another compressor stands; none of a single method."""
    return option.places if issubclass(option, CombinedConfig) else ()


def compressor_schema(option: type[CompressorConfig]) -> Any:
    """The schema of a compressor. The places of a combination are empty in it, because OmegaConf
    lets only a subclass take the place of a default.
    """
    from omegaconf import OmegaConf

    schema = OmegaConf.structured(option)
    for place in _places(option):
        schema[place] = "???"
    return schema


def _method(saved: Container, key: str, folders: Sequence[Path | str]) -> type[CompressorConfig]:
    """The schema that `saved` names at `key`. Raises ConfigError, see `chosen`."""
    from omegaconf import OmegaConf

    return chosen(OmegaConf.select(saved, key), folders, key)


def _render(saved: Container, key: str) -> type[RenderConfig]:
    """The same of a renderer."""
    from omegaconf import OmegaConf

    name = OmegaConf.select(saved, key)
    for option in RENDERS:
        if option_name(option) == name:
            return option
    raise ConfigError([fault(key, name, ", ".join(map(option_name, RENDERS)))])
