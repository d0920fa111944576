"""From overrides such as `keep_ratio=0.3` to checked runs, with and without a command line."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from hydra.core.utils import configure_log

from freqexp.composing.callbacks import Events
from freqexp.composing.command import Command
from freqexp.composing.explain import command_line_faults, merge_faults, point_faults
from freqexp.composing.habits import composed_faults, typed_faults
from freqexp.composing.hydra_state import hydra_ready
from freqexp.composing.loggers import turn_up
from freqexp.composing.overrides import COMPOSE_ERRORS, compose_raw, to_run
from freqexp.config.check import check
from freqexp.config.run import RunConfig
from freqexp.errors import ConfigError
from freqexp.schemas.method import DRAWS, NoneConfig, Part

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Point:
    """One checked run and the overrides that chose it."""

    overrides: tuple[str, ...]
    config: RunConfig


@dataclass(frozen=True)
class Asked:
    """What a command asks for. arguments: as typed. events: Hydra's callbacks around it."""

    points: list[Point]
    arguments: tuple[str, ...] = ()
    events: Events | None = None


def compose(overrides: Sequence[str] = ()) -> RunConfig:
    """The checked run of these overrides; of several draws the first.

    Raises ConfigError, all faults at once.
    """
    faults = typed_faults(overrides)
    if faults:
        raise ConfigError(faults)
    with hydra_ready():
        try:
            config = compose_raw(overrides)
            cfg = to_run(config)
        except COMPOSE_ERRORS:
            raise ConfigError(point_faults(overrides)) from None
    faults = composed_faults(config, config.hydra) + check(cfg) + _unused(cfg, overrides)
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


def ask(arguments: Sequence[str]) -> Asked:
    """What a command line asks for; no points when it only asks for something to be printed, which
    is done then.

    Raises ConfigError with every fault of every run.
    """
    command = Command(arguments)
    with command.ready() as hydra:
        try:
            command.check_flags()
            if command.shows:
                command.show(hydra)
                return Asked([], tuple(arguments))
            composed = command.compose(hydra)
            turn_up(composed.config.hydra.verbose)
            configure_log(composed.config.hydra.job_logging)
            runs = [(overrides, to_run(config)) for overrides, config, _ in composed.points]
            events = Events(composed.config, composed.many)
        except ConfigError:
            raise
        except COMPOSE_ERRORS as error:
            raise ConfigError(command_line_faults(command, error)) from error
    faults = merge_faults(
        [
            (overrides, composed_faults(config, hydra) + check(cfg) + _unused(cfg, overrides))
            for (overrides, config, hydra), (_, cfg) in zip(composed.points, runs, strict=True)
        ]
    )
    if faults:
        raise ConfigError(faults)
    points = [point for overrides, cfg in runs for point in points_of(cfg, overrides)]
    log.info("%d points composed and checked", len(points))
    return Asked(points, tuple(arguments), events)


def _unused(cfg: RunConfig, overrides: Sequence[str]) -> list[str]:
    """Keys of the cluster that someone typed in vain: what was meant for a cluster is not computed
    on a login node.
    """
    return cfg.cluster.unused("cluster", {text.partition("=")[0].lstrip("+") for text in overrides})


def collect(arguments: Sequence[str]) -> list[Point]:
    """The points of `ask`."""
    return ask(arguments).points


def points_of(cfg: RunConfig, overrides: Sequence[str] = ()) -> list[Point]:
    """The runs that a checked configuration stands for, each with the overrides that choose it."""
    return [Point((*overrides, *own), run) for own, run in _draws(simplest(cfg))]


def _draws(cfg: RunConfig) -> list[tuple[tuple[str, ...], RunConfig]]:
    """The runs of several draws, and the overrides that choose each among them."""
    found = cfg.compressor.draws()
    if len(found) == 1:
        return [((), replace(cfg, compressor=found[0]))]
    token = ".token" if cfg.compressor.stage == "combined" else ""
    runs: list[tuple[tuple[str, ...], RunConfig]] = []
    for compressor in found:
        seed = getattr(getattr(compressor, "token", compressor), "seed", 0)
        own = (f"compressor{token}.seed={seed}", f"compressor{token}.{DRAWS}=1")
        runs.append((own, replace(cfg, compressor=compressor)))
    return runs
