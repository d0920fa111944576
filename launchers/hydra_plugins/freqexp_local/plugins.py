"""A sweeper and a launcher that compose every point of a sweep before anything is computed."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from typing import Any, NamedTuple

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict


class PointSweeper(BasicSweeper):
    """Hydra's basic sweeper in one batch; writes no files and composes nothing twice."""

    def sweep(self, arguments: list[str]) -> Any:
        """Launch every combination of `arguments` and hydra.sweeper.params at once."""
        # Hydra imports every plugin when any of its applications starts, so this waits.
        from freqexp.composing.overrides import normalize

        assert self.hydra_context is not None
        assert self.launcher is not None
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        overrides = parser.parse_overrides(normalize([*self._parse_config(), *arguments]))
        (points,) = self.split_arguments(overrides, max_batch_size=None) or [[]]
        return self.launcher.launch(points, initial_job_idx=0)


class _Composed(NamedTuple):
    """One point: what Hydra says of its job, and the configuration that the task gets."""

    surroundings: DictConfig
    config: DictConfig
    overrides: list[str]


class PointLauncher(Launcher):
    """Hands points to the task function, all composed before the first is handed on.

    Where they are computed (`cluster=...`) is decided when all are known and checked.
    """

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Hydra's hook: what `launch` needs."""
        self.hydra_context = hydra_context
        self.task_function = task_function
        self.config = config
        self._bases: dict[tuple[str, ...], tuple[DictConfig, bytes]] = {}
        self._parsed: dict[str, tuple[Override, bool]] = {}

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Compose all points, then call the task function with each. Raises what Hydra raises, and
        ValueError when there is no point.
        """
        if not job_overrides:
            raise ValueError("the sweep has no points: one of its lists of values is empty")
        composed = [self._compose(list(point)) for point in job_overrides]
        return [self._hand_on(point, number) for number, point in enumerate(composed)]

    def _compose(self, point: list[str]) -> _Composed:
        """Hydra's composition. Its expensive part, choosing options, is done once for each choice.

        Setting values afterwards is what Hydra does, too, so errors and results are the same.
        """
        parsed = [(text, *self._parse(text)) for text in point]
        choices = [text for text, _, sets_value in parsed if not sets_value]
        surroundings, base = self._base(choices)
        config = pickle.loads(base)
        values = [override for _, override, sets_value in parsed if sets_value]
        ConfigLoaderImpl._apply_overrides_to_config(values, config)
        return _Composed(surroundings, config, point)

    def _parse(self, text: str) -> tuple[Override, bool]:
        """An override, and whether it only sets a value of a key and chooses no option."""
        if text not in self._parsed:
            (override,) = OverridesParser.create().parse_overrides([text])
            key = override.key_or_group
            repository = self.hydra_context.config_loader.repository  # type: ignore[attr-defined]
            chooses = override.package is not None or repository.group_exists(key)
            self._parsed[text] = override, not chooses and key.split(".")[0] != "hydra"
        return self._parsed[text]

    def _base(self, choices: list[str]) -> tuple[DictConfig, bytes]:
        """What these options alone give: Hydra's part, and the application's, pickled, because
        that makes copies three times as fast as deepcopy.
        """
        key = tuple(choices)
        if key not in self._bases:
            loader = self.hydra_context.config_loader
            surroundings = loader.load_sweep_config(self.config, choices)
            config = surroundings.copy()
            with open_dict(config):
                del config["hydra"]
            self._bases[key] = surroundings, pickle.dumps(config)
        return self._bases[key]

    def _hand_on(self, point: _Composed, number: int) -> JobReturn:
        with open_dict(point.surroundings):
            point.surroundings.hydra.job.id = str(number)
            point.surroundings.hydra.job.num = number
            point.surroundings.hydra.overrides.task = point.overrides
        before = HydraConfig.instance().cfg
        HydraConfig.instance().cfg = point.surroundings  # type: ignore[assignment]
        try:
            return JobReturn(cfg=point.config, _return_value=self.task_function(point.config))
        finally:
            HydraConfig.instance().cfg = before
