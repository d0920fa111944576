"""Hydra's callbacks (`hydra.callbacks.NAME._target_=...`) around the command and each of its runs.

Hydra's own calls would come while a command is composed, before the first sample.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import hydra.utils
from hydra._internal.callbacks import Callbacks
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from freqexp.composing.loggers import turn_up
from freqexp.config.run import RunConfig


def task(config: DictConfig) -> None:
    """What callbacks are given as the task: a run is computed by freqexp, not by a function of its
    configuration alone.
    """


class Events:
    """The callbacks of one command.

    config: as it was composed, with Hydra's part. many: whether the command is a sweep.
    Raises HydraException for a callback that can't be made.
    """

    def __init__(self, config: DictConfig, many: bool) -> None:
        self._config, self._many = config, many
        with _trusted(config):
            self._callbacks = Callbacks(config)
        self._number = 0
        self._last = JobReturn()

    @property
    def acts(self) -> bool:
        """Whether there is any callback."""
        return bool(self._callbacks.callbacks)

    @contextmanager
    def command(self) -> Iterator[None]:
        """Around all runs: on_run_start and on_run_end, or on_multirun_start and on_multirun_end.
        They are told of an end by an exception, too.
        """
        name = self._config.hydra.job.config_name
        if self._many:
            self._callbacks.on_multirun_start(self._config, config_name=name)
        else:
            self._callbacks.on_run_start(self._config, config_name=name)
        try:
            yield
        except Exception as error:
            if self._last.status is JobStatus.UNKNOWN:
                self._last.status, self._last.return_value = JobStatus.FAILED, error
            raise
        finally:
            if self._many:
                self._callbacks.on_multirun_end(self._config, config_name=name)
            else:
                ended = self._last
                self._callbacks.on_run_end(self._config, config_name=name, job_return=ended)

    def before(self, cfg: RunConfig, overrides: Sequence[str], folder: Path) -> None:
        """on_job_start: a run that has samples left to answer begins.

        The configuration it is given is the run's, with Hydra's part; `hydra.runtime.output_dir` is
        the run's folder, where its files are.
        """
        self._job = self._surroundings(cfg, overrides, folder)
        self._number += 1
        with _current(self._job):
            self._callbacks.on_job_start(config=self._job, task_function=task)

    def after(self, outcome: object) -> None:
        """on_job_end: the run that began last has ended. outcome: its summary, or the exception
        that ended it, which is raised by `job_return.return_value` as Hydra does.
        """
        failed = isinstance(outcome, BaseException)
        ended = JobReturn(
            overrides=list(self._job.hydra.overrides.task),
            cfg=_without_hydra(self._job),
            hydra_cfg=OmegaConf.create({"hydra": self._job.hydra}),
            working_dir=os.getcwd(),
            task_name=self._job.hydra.job.name,
            status=JobStatus.FAILED if failed else JobStatus.COMPLETED,
        )
        ended.return_value = outcome
        self._last = ended
        with _current(self._job):
            self._callbacks.on_job_end(config=self._job, job_return=ended)

    def _surroundings(self, cfg: RunConfig, overrides: Sequence[str], folder: Path) -> Any:
        config: Any = OmegaConf.structured(cfg)
        with open_dict(config):
            config.hydra = copy.deepcopy(self._config.hydra)
        hydra = config.hydra
        with read_write(hydra), open_dict(hydra):
            hydra.job.num, hydra.job.id = self._number, str(self._number)
            hydra.overrides.task = list(overrides)
            hydra.runtime.output_dir = str(folder.absolute())
            for text in overrides:
                group, _, option = text.partition("=")
                if group in hydra.runtime.choices:
                    hydra.runtime.choices[group] = option.strip("'")
        return config

    def text(self) -> str | None:
        """Hydra's part as YAML, for `frozen_events`; None where nothing of it acts in a run."""
        if not self.acts and not self._config.hydra.verbose:
            return None
        kept = {"hydra": self._config.hydra}
        return OmegaConf.to_yaml(OmegaConf.create(kept), resolve=False)


def frozen_events(file: Path) -> Events | None:
    """The callbacks that a submitted sweep left in a file, its loggers turned up; None without."""
    if not file.is_file():
        return None
    config = OmegaConf.load(file)
    assert isinstance(config, DictConfig)
    turn_up(config.hydra.verbose)
    return Events(config, many=True)


def _without_hydra(config: DictConfig) -> DictConfig:
    config = config.copy()
    with open_dict(config):
        del config["hydra"]
    return config


def _trusted(config: DictConfig) -> AbstractContextManager[Any]:
    """Hydra 1.4 makes only what a program trusts; who types a class for `hydra.callbacks` does."""
    trust = getattr(hydra.utils, "execution_whitelist", None)
    named = config.hydra.callbacks.values() if config.hydra.callbacks else ()
    targets = [str(callback.get("_target_")) for callback in named]
    return nullcontext() if trust is None or not targets else trust(targets)


@contextmanager
def _current(config: DictConfig) -> Iterator[None]:
    """What `HydraConfig.get()` answers while a callback is called."""
    current: Any = HydraConfig.instance()
    before, current.cfg = current.cfg, config
    try:
        yield
    finally:
        current.cfg = before
