"""A command line as Hydra reads it: its flags, what it asks to be shown, its points composed."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from hydra._internal.callbacks import Callbacks
from hydra._internal.hydra import Hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.types import HydraContext, RunMode
from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf

from freqexp.composing.habits import composed_faults, typed_faults
from freqexp.composing.hydra_state import hydra_ready
from freqexp.composing.overrides import COMPOSE_ERRORS, PRIMARY, normalize, to_run
from freqexp.composing.saved_run import store_saved
from freqexp.config.check import unknown_keys
from freqexp.errors import ConfigError, fault

SHOWS = ("cfg", "info", "hydra_help", "shell_completion")


ComposedPoint = tuple[tuple[str, ...], DictConfig, DictConfig]


@dataclass(frozen=True)
class Composed:
    """What a command line asks for.

    points: the overrides of each point, its configuration, and Hydra's part of it. config: the
    command's own, with Hydra's part. many: whether it is a sweep, be it of one point.
    """

    points: list[ComposedPoint]
    config: DictConfig
    many: bool


class Command:
    """Flags and overrides. Raises ConfigError for habits that do something else here."""

    def __init__(self, arguments: Sequence[str]) -> None:
        refuse_pickles(arguments)
        self.flags: argparse.Namespace = get_args_parser().parse_intermixed_args(list(arguments))
        faults = typed_faults(self.flags.overrides)
        if faults:
            raise ConfigError(faults)
        self.overrides = normalize(self.flags.overrides)

    @property
    def shows(self) -> bool:
        """Whether it asks for something to be printed, and for no run."""
        return any(getattr(self.flags, name) for name in SHOWS)

    @contextmanager
    def ready(self) -> Iterator[Hydra]:
        """Hydra with the folders of the command; `config_name` holds within.

        Raises ConfigError for a folder that isn't there.
        """
        folders = []
        if self.flags.config_dir is not None:
            folder = os.path.abspath(os.path.expanduser(self.flags.config_dir))
            if not os.path.isdir(folder):
                raise ConfigError([f"Additional config directory '{folder}' not found"])
            folders.append(folder)
        with hydra_ready(folders) as hydra:
            self.config_name = self.flags.config_name or PRIMARY
            if self.flags.config_path is not None:
                name = self.flags.config_name
                self.config_name = store_saved(self.flags.config_path, name, self.overrides)
            yield hydra

    def show(self, hydra: Hydra) -> None:
        """Print what was asked for, as Hydra does, but not for keys that do not exist.

        Raises what Hydra raises, and ConfigError.
        """
        root = logging.getLogger()
        level, handlers = root.level, list(root.handlers)
        try:
            self._show(hydra)
        finally:
            # Hydra prints by way of the root logger.
            root.setLevel(level)
            root.handlers[:] = handlers

    def _show(self, hydra: Hydra) -> None:
        flags, asked = self.flags, (self.config_name, self.overrides)
        if flags.shell_completion:
            hydra.shell_completion(*asked)
        elif flags.hydra_help:
            hydra.hydra_help(self.config_name, get_args_parser(), flags)
        elif flags.info is not None:
            hydra.show_info(flags.info, *asked)
        else:
            config = hydra.compose_config(*asked, run_mode=RunMode.RUN)
            faults = composed_faults(config, config.hydra) + unknown_keys(to_run(config))
            if faults:
                raise ConfigError(faults)
            hydra.show_cfg(*asked, flags.cfg, flags.package, flags.resolve)

    def check_flags(self) -> None:
        """Raise HydraException for flags that exclude each other."""
        flags = self.flags
        given = [flags.run, flags.multirun, *(getattr(flags, name) for name in SHOWS)]
        if sum(map(bool, given)) > 1:
            raise HydraException(
                "Only one of --run, --multirun, --cfg, --info and --shell_completion can be "
                "specified"
            )
        if flags.resolve and not flags.cfg:
            raise HydraException("The --resolve flag can only be used in conjunction with --cfg")

    def compose(self, hydra: Hydra) -> Composed:
        """Every point. Raises what Hydra raises, and ConfigError."""
        if not self.flags.multirun:
            config = self._one(hydra)
            if config is not None:
                chosen: Any = OmegaConf.to_container(config.hydra.overrides.task)
                return Composed([(tuple(chosen), config, config.hydra)], config, many=False)
        overrides = [*self.overrides, "hydra.mode=MULTIRUN"]
        config = hydra.compose_config(self.config_name, overrides, run_mode=RunMode.MULTIRUN)
        faults = composed_faults(config, config.hydra)
        if faults:
            raise ConfigError(faults)
        return Composed(_points(hydra, config), config, many=True)

    def _one(self, hydra: Hydra) -> DictConfig | None:
        """The one point; None where `hydra.mode`, which a YAML file can set, says a sweep."""
        asked = self.config_name, self.overrides
        try:
            config = hydra.compose_config(*asked, run_mode=RunMode.RUN)
        except COMPOSE_ERRORS:
            # Several values in a sweep that the file makes one of.
            config = hydra.compose_config(
                *asked, run_mode=RunMode.MULTIRUN, validate_sweep_overrides=False
            )
            if config.hydra.mode is not RunMode.MULTIRUN:
                raise
        return None if config.hydra.mode is RunMode.MULTIRUN else config


def _points(hydra: Hydra, config: DictConfig) -> list[ComposedPoint]:
    """The points of a sweep, by the sweeper and the launcher that the configuration names."""
    points: list[ComposedPoint] = []

    def collected(point: DictConfig) -> None:
        surroundings: Any = HydraConfig.get()
        chosen: Any = OmegaConf.to_container(surroundings.overrides.task)
        points.append((tuple(chosen), point, surroundings))

    for plugin in (config.hydra.sweeper, config.hydra.launcher):
        # A process that had plug-ins looked up before ours could be found does not know them.
        Plugins.instance().register(get_class(plugin._target_))
    HydraConfig.instance().set_config(config)
    sweeper = Plugins.instance().instantiate_sweeper(
        config=config,
        hydra_context=HydraContext(config_loader=hydra.config_loader, callbacks=Callbacks()),
        task_function=collected,
    )
    arguments: Any = OmegaConf.to_container(config.hydra.overrides.task, resolve=False)
    sweeper.sweep(arguments=arguments)
    return points


def refuse_pickles(arguments: Sequence[str]) -> None:
    """Raise ConfigError for Hydra's flag that unpickles a configuration, which runs what it holds.

    Its parser takes a flag by its first letters, too; no other one begins with these.
    """
    for text in arguments:
        if text.startswith("--e"):
            allowed = "not here; python -m freqexp.reproduce RUN computes a saved run again"
            raise ConfigError([fault("--experimental-rerun", text, allowed)])
