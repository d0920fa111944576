"""The schema of a run, and the only place that knows Hydra's ConfigStore.

The YAML files of `conf/` choose values; the schemas say which keys exist and of what type. Each
checks its own ranges (`check`), a method or a renderer also builds its object (`build`), and
`freqexp.config.check` adds what concerns several of them. Nothing heavy is imported before `build`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from freqexp.config.cluster import ClusterConfig
from freqexp.errors import ConfigError, UserError, fault
from freqexp.paths import conf_dir
from freqexp.schemas import ranges
from freqexp.schemas.choices import (
    Attention,
    Device,
    Dtype,
    Energy,
    Family,
    Fit,
    Form,
    Scale,
    Threshold,
    Tracking,
)
from freqexp.schemas.compressor import (
    COMPRESSORS,
    BlockDctConfig,
    CombinedConfig,
    CompressorConfig,
    NoneConfig,
    TokenConfig,
)
from freqexp.schemas.model import ModelConfig
from freqexp.schemas.needles import NeedlesConfig
from freqexp.schemas.render import RENDERS, CellsRender, GlyphRender, RenderConfig
from freqexp.schemas.section import Section

if TYPE_CHECKING:
    from omegaconf import Container

Option = TypeVar("Option", CompressorConfig, RenderConfig)

__all__ = [
    "COMPRESSORS",
    "RENDERS",
    "Attention",
    "BlockDctConfig",
    "CellsRender",
    "ClusterConfig",
    "CombinedConfig",
    "CompressorConfig",
    "Device",
    "Dtype",
    "Energy",
    "Family",
    "Fit",
    "Form",
    "GlyphRender",
    "ModelConfig",
    "NeedlesConfig",
    "NoneConfig",
    "ProfileConfig",
    "RenderConfig",
    "RunConfig",
    "Scale",
    "Threshold",
    "TokenConfig",
    "Tracking",
    "conf_dir",
    "from_yaml",
    "option_name",
    "register",
    "to_yaml",
]


@dataclass
class ProfileConfig(Section):
    """Bits of the low, mid and high radial band, and the radii where mid and high begin."""

    name: str
    bits_low: int
    bits_mid: int
    bits_high: int
    edge_low: float
    edge_mid: float

    def check(self, prefix: str) -> list[str]:
        faults = ranges.integers(self, prefix, ("bits_low", "bits_mid", "bits_high"), 0, 16)
        edges = ranges.not_negative(self, prefix, ("edge_low", "edge_mid"))
        if not edges and self.edge_mid < self.edge_low:
            allowed = f"at least {prefix}.edge_low ({self.edge_low})"
            edges.append(fault(f"{prefix}.edge_mid", self.edge_mid, allowed))
        return faults + edges


@dataclass
class RunConfig:
    """One run, fully resolved.

    keep_ratio: kept share in (0, 1], of coefficients for a codec, of tokens for a
        token compressor.
    baseline: also compute the same run with compressor=none and compare with it.
    output_dir: results go to <output_dir>/runs/<run id>; a relative path starts
        where the command does.
    encodings_cache_gb: gigabytes (10^9 bytes) that vision encodings may take on disk
        in <output_dir>/cache, for later runs; 0: none.
    sweep_name: W&B group of the runs of one sweep; None: a name is made.
    """

    model: ModelConfig
    compressor: CompressorConfig
    profile: ProfileConfig
    needles: NeedlesConfig
    cluster: ClusterConfig
    keep_ratio: float = 0.5
    samples: int = 64
    seed: int = 0
    baseline: bool = True
    tracking: Tracking = Tracking.auto
    wandb_project: str = "freqexp"
    wandb_entity: str | None = None
    output_dir: str = "outputs"
    encodings_cache_gb: float = 0.0
    sweep_name: str | None = None


def register() -> None:
    """Put the schemas into Hydra's ConfigStore, where the YAML files' defaults lists name them."""
    from hydra.core.config_store import ConfigStore

    store = ConfigStore.instance()
    store.store(group="schema", name="run", node=RunConfig, package="_global_")
    for name, section in (
        ("model", ModelConfig),
        ("profile", ProfileConfig),
        ("needles", NeedlesConfig),
        ("cluster", ClusterConfig),
    ):
        store.store(group="schema", name=name, node=section)
    for compressor in COMPRESSORS:
        node = _compressor_schema(compressor)
        store.store(group="schema/compressor", name=option_name(compressor), node=node)
    for render in RENDERS:
        store.store(group="schema/render", name=option_name(render), node=render)


def to_yaml(cfg: RunConfig) -> str:
    """Every value of a run, as `from_yaml` reads it."""
    from omegaconf import OmegaConf

    return OmegaConf.to_yaml(OmegaConf.structured(cfg))


def from_yaml(path: str | Path) -> RunConfig:
    """The run saved by `to_yaml`; ranges are `freqexp.config.check`'s to check.

    Raises UserError for a file that can't be read, ConfigError for one that is no run.
    """
    import yaml
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        saved = OmegaConf.create(Path(path).read_text(encoding="utf-8"))
        schema = OmegaConf.structured(RunConfig)
        chosen = _chosen(COMPRESSORS, saved, "compressor.name")
        schema.compressor = _compressor_schema(chosen)
        for place in _places(chosen):
            key = f"compressor.{place}"
            OmegaConf.update(schema, key, _chosen(COMPRESSORS, saved, f"{key}.name"))
        schema.model = ModelConfig
        schema.model.render = _chosen(RENDERS, saved, "model.render.name")
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


def _compressor_schema(option: type[CompressorConfig]) -> Any:
    """The schema of a compressor. The places of a combination are empty in it, because OmegaConf
    lets only a subclass take the place of a default.
    """
    from omegaconf import OmegaConf

    schema = OmegaConf.structured(option)
    for place in _places(option):
        schema[place] = "???"
    return schema


def _chosen(options: Sequence[type[Option]], saved: Container, key: str) -> type[Option]:
    """The schema that `saved` names at `key`. Raises ConfigError when there is none."""
    from omegaconf import OmegaConf

    name = OmegaConf.select(saved, key)
    for option in options:
        if option_name(option) == name:
            return option
    raise ConfigError([fault(key, name, ", ".join(map(option_name, options)))])


def option_name(option: type[CompressorConfig | RenderConfig]) -> str:
    """What is typed to choose an option: the default of its field `name`."""
    return next(str(field.default) for field in fields(option) if field.name == "name")
