"""The curve of a training as a W&B run. As in a run, nothing of it may stop the training."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, cast

from freqexp.tracking.mirror import Mirrors
from freqexp.tracking.server import quiet_settings

if TYPE_CHECKING:
    from freqexp.config.run import RunConfig

ROWS = "rows"
"""In the run's summary: how many rows of the curve it has."""

log = logging.getLogger(__name__)

Follower = Callable[[int, Mapping[str, float]], None]


def mirrored(run: RunConfig, settings: Mapping[str, Any]) -> list[Follower]:
    """What takes every row of a curve to W&B; nothing with tracking=off or where W&B fails.

    settings: what decides the training; the same ones go on with the same run of W&B.
    """
    if run.tracking.name == "off":
        return []
    try:
        chosen = Mirrors().choose(run)
        return [] if chosen == "off" else [_Client(run, settings, chosen == "online")]
    except Exception as error:
        log.warning("W&B: %s; the curve is in its file alone", _line(error))
        return []


class _Client:
    """A W&B run that takes every row once."""

    def __init__(self, run: RunConfig, settings: Mapping[str, Any], online: bool) -> None:
        import wandb

        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
        mode: Literal["online", "offline"] = "online" if online else "offline"
        self._run = cast(Any, wandb.init)(
            project=run.wandb_project,
            entity=run.wandb_entity,
            id=f"adapt-{digest[:16]}",
            name=f"adapt {run.model.name}, {run.compressor.title}",
            job_type="adapt",
            config=dict(settings),
            dir=run.output_dir,
            mode=mode,
            resume="allow",
            reinit="create_new",
            settings=quiet_settings(),
        )
        self._run.define_metric("step", hidden=True)
        self._run.define_metric("*", step_metric="step")
        self._logged = int(self._run.summary.get(ROWS) or 0)
        self._rows = 0

    def __call__(self, step: int, row: Mapping[str, float]) -> None:
        """Log a row, unless an earlier life of this training did."""
        self._rows += 1
        if self._rows <= self._logged:
            return
        try:
            self._run.log({"step": step, **row, ROWS: self._rows})
        except Exception as error:
            log.warning("W&B: a row of the curve was not taken (%s)", _line(error))


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
