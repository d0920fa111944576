"""The curve of a training as a W&B run. As in a run, nothing of it may stop the training."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from freqexp.config.title import title_of
from freqexp.tracking.client import FINISH_SECONDS, INIT_SECONDS, shut_down
from freqexp.tracking.mirror import Mirrors
from freqexp.tracking.sent import MIRROR, Sent
from freqexp.tracking.server import quiet_settings, within

if TYPE_CHECKING:
    from freqexp.config.run import RunConfig

ROWS = "rows"
"""In the run's summary: how many rows of the curve it has."""

log = logging.getLogger(__name__)


def mirrored(run: RunConfig, settings: Mapping[str, Any]) -> list[CurveMirror]:
    """What takes every row of a curve to W&B; nothing with tracking=off or where W&B fails.

    settings: what decides the training; the same ones go on with the same run of W&B.
    """
    if run.tracking.name == "off":
        return []
    try:
        chosen = Mirrors().choose(run)
        return [] if chosen == "off" else [CurveMirror(run, settings, chosen == "online")]
    except Exception as error:
        log.warning("W&B: %s; the curve is in its file alone", _line(error))
        if not isinstance(error, ImportError):
            shut_down()
        return []


class CurveMirror:
    """A W&B run that takes every row once."""

    def __init__(self, run: RunConfig, settings: Mapping[str, Any], online: bool) -> None:
        import wandb

        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
        mode: Literal["online", "offline"] = "online" if online else "offline"
        limits = {"init_timeout": INIT_SECONDS, "finish_timeout": FINISH_SECONDS}
        Path(run.output_dir).mkdir(parents=True, exist_ok=True)
        self._run = cast(Any, wandb.init)(
            project=run.wandb_project,
            entity=run.wandb_entity,
            id=f"adapt-{digest[:16]}",
            name=f"adapt {run.model.name}, {title_of(run)}",
            job_type="adapt",
            config=dict(settings),
            dir=run.output_dir,
            mode=mode,
            resume="allow",
            reinit="create_new",
            settings=quiet_settings(**limits, finish_timeout_raises=True),
        )
        self._run.define_metric("step", hidden=True)
        self._run.define_metric("*", step_metric="step")
        self._sent = Sent(
            Path(run.output_dir) / MIRROR / f"adapt-{digest[:16]}.json", Path(run.output_dir)
        )
        if online:
            self._sent.before_online()
            self._logged = int(self._run.summary.get(ROWS) or 0)
        else:
            self._logged, _ = self._sent.before_offline(0)
        self._sent.begin(None if online else Path(self._run.dir).parent.name, self._logged, 0)
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

    def finish(self, interrupted: bool) -> None:
        """End it, within seconds; an interrupted one will be resumed."""

        def finish() -> None:
            if interrupted:
                self._run.mark_preempting()
            self._run.finish(exit_code=int(interrupted))

        try:
            within(FINISH_SECONDS + 2, finish)
            self._sent.left(max(self._logged, self._rows), 0)
        except Exception as error:
            log.warning("W&B: the end of the curve was not taken (%s)", _line(error))
            shut_down()


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
