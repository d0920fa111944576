"""From overrides such as `keep_ratio=0.3` to checked runs, with and without a command line."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from freqexp.composing.explain import command_line_faults, merge_faults, point_faults
from freqexp.composing.overrides import (
    COMPOSE_ERRORS,
    PRIMARY,
    compose_raw,
    hydra_ready,
    normalize,
    prepare,
    to_run,
)
from freqexp.config.check import check
from freqexp.config.run import RunConfig
from freqexp.errors import ConfigError, fault
from freqexp.paths import conf_dir
from freqexp.schemas.method import DRAWS, NoneConfig, Part


@dataclass(frozen=True)
class Point:
    """One checked run and the overrides that chose it."""

    overrides: tuple[str, ...]
    config: RunConfig


def compose(overrides: Sequence[str] = ()) -> RunConfig:
    """The checked run of these overrides; of several draws the first.

    Raises ConfigError, all faults at once.
    """
    with hydra_ready():
        try:
            cfg = to_run(compose_raw(overrides))
        except COMPOSE_ERRORS:
            raise ConfigError(point_faults(overrides)) from None
    faults = check(cfg)
    if faults:
        raise ConfigError(faults)
    cfg = simplest(cfg)
    return replace(cfg, compressor=cfg.compressor.draws()[0])


def simplest(cfg: RunConfig) -> RunConfig:
    """The same run without what does nothing: a combination of one method is that method, one of
    none the baseline. So a grid of codecs by token compressors, `none` among both, shares its
    edges with the sweeps of each. A count of tokens goes where no part has a use for it.
    """
    if not cfg.compressor.uses_keep_tokens:
        cfg = replace(cfg, keep_tokens=None)
    if not cfg.compressor.uses_budget:
        cfg = replace(cfg, keep_like=None)
    parts = cfg.compressor.parts(cfg.keep_ratio)
    if len(parts) > 1:
        return cfg
    part = parts[0] if parts else Part(NoneConfig(), cfg.keep_ratio)
    return replace(cfg, compressor=part.config, keep_ratio=part.keep_ratio)


def collect(arguments: Sequence[str]) -> list[Point]:
    """The checked runs a command line asks for; none when it only asks to print a configuration.

    Raises ConfigError with every fault of every run.
    """
    import hydra
    from hydra.core.hydra_config import HydraConfig

    refuse_pickles(arguments)
    prepare()
    composed: list[tuple[tuple[str, ...], RunConfig]] = []

    def task(config: DictConfig) -> None:
        chosen: Any = OmegaConf.to_container(HydraConfig.get().overrides)
        overrides = tuple(chosen["task"])
        try:
            composed.append((overrides, to_run(config)))
        except OmegaConfBaseException as error:
            unresolved.append(error)

    unresolved: list[OmegaConfBaseException] = []
    typed = _flag_first(normalize(arguments))
    try:
        with _hydra_surroundings(typed):
            hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=PRIMARY)(task)()
        if unresolved:
            raise unresolved[0]
    except COMPOSE_ERRORS as error:
        raise ConfigError(command_line_faults(typed, error)) from error
    faults = merge_faults([(overrides, check(cfg)) for overrides, cfg in composed])
    if faults:
        raise ConfigError(faults)
    return [
        Point((*overrides, *own), drawn)
        for overrides, cfg in composed
        for own, drawn in _draws(simplest(cfg))
    ]


def _draws(cfg: RunConfig) -> list[tuple[tuple[str, ...], RunConfig]]:
    """The runs that a point stands for, and the overrides that choose each among them."""
    found = cfg.compressor.draws()
    if len(found) == 1:
        return [((), replace(cfg, compressor=found[0]))]
    token = ".token" if cfg.compressor.stage == "combined" else ""
    drawn: list[tuple[tuple[str, ...], RunConfig]] = []
    for compressor in found:
        seed = getattr(getattr(compressor, "token", compressor), "seed", 0)
        own = (f"compressor{token}.seed={seed}", f"compressor{token}.{DRAWS}=1")
        drawn.append((own, replace(cfg, compressor=compressor)))
    return drawn


def refuse_pickles(arguments: Sequence[str]) -> None:
    """Raise ConfigError for Hydra's flag that unpickles a configuration, which runs what it holds.

    Its parser takes a flag by its first letters, too; no other one begins with these.
    """
    for text in arguments:
        if text.startswith("--e"):
            allowed = "not here; python -m freqexp.reproduce RUN computes a saved run again"
            raise ConfigError([fault("--experimental-rerun", text, allowed)])


def _flag_first(arguments: Sequence[str]) -> list[str]:
    """`-m` before everything else: Hydra's parser refuses it between overrides."""
    flags = [text for text in arguments if text in ("-m", "--multirun")]
    return [*flags[:1], *(text for text in arguments if text not in flags)]


@contextmanager
def _hydra_surroundings(arguments: Sequence[str]) -> Iterator[None]:
    """Hydra reads sys.argv, and leaves its errors to the caller only when this variable is set."""
    argv, full_error = sys.argv, os.environ.get("HYDRA_FULL_ERROR")
    sys.argv = [sys.argv[0], *arguments]
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield
    finally:
        sys.argv = argv
        if full_error is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = full_error
