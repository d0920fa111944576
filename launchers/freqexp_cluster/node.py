"""What runs on a node: one process of one point."""

from __future__ import annotations

import hashlib
import os
import sys
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freqexp.errors import UserError
from freqexp.locks import HeldError
from freqexp_cluster.gpus import choose_gpu

if TYPE_CHECKING:
    from freqexp.answering.session import Session
    from freqexp.config.run import RunConfig
    from freqexp.running.execute import Observer
    from freqexp.running.plan import Point
    from freqexp.running.shares import Share
    from freqexp.running.sweep import Watcher
    from freqexp_cluster.leaving import Leaving

SUBMISSION = "submission.json"
ERROR = "error.txt"
INTERRUPTED = "interrupted.json"
HYDRA = "hydra.yaml"
"""In a sweep's folder: callbacks and loggers of its command."""
PATIENCE_S = 60.0


@dataclass(frozen=True)
class PointTask:
    """A point to compute; what submitit pickles, so plain data alone.

    folder: its run folder, with the frozen config.yaml. config_sha256: of that file's bytes.
    life: grows with every requeue by this program.
    """

    run_id: str
    folder: str
    sweep: str
    submitted: str
    config_sha256: str
    life: int = 0

    def checkpoint(self) -> Any:
        """What the next life runs: the same, as the record files say how far it is."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(replace(self, life=self.life + 1))

    def __call__(self) -> None:
        """Compute this process's share. Any exception ends the point as FAILED, after a note of it
        in error.txt.
        """
        from submitit import JobEnvironment

        from freqexp.running.shares import Preempted, Share
        from freqexp_cluster.leaving import Leaving

        environment = JobEnvironment()
        restarts = os.environ.get("SLURM_RESTART_COUNT", "0")
        life = f"{environment.job_id}.{restarts}.{self.life}"
        share = Share(environment.global_rank, environment.num_tasks, life)
        leaving = Leaving(share, Path(self.folder))
        try:
            leaving.listen()
            self._compute(share, leaving, environment)
        except Preempted:
            leaving.leave(environment)
        except Exception as error:
            self._note(error)
            raise
        finally:
            leaving.disarm()

    def _compute(self, share: Share, leaving: Leaving, environment: Any) -> None:
        folder = Path(self.folder)
        cfg = self._frozen()
        if environment.cluster == "slurm":
            # Who waits there waits with a GPU. An earlier life of this job may be about to end.
            share.patience_s = PATIENCE_S
        leaving.grace_s = max(1.0, min(cfg.cluster.signal_delay_s / 2, 600.0))
        choose_gpu(environment.local_rank, cfg.cluster.shard)
        if share.rank == 0:
            self._begin(folder, environment)
            leaving.cluster = cfg.cluster

        from freqexp.answering.session import Session
        from freqexp.running.execute import execute_share
        from freqexp.running.progress import Lines
        from freqexp.running.sweep import watched

        session = Session()
        self._check_identity(cfg, session)
        observers: list[Observer] = [leaving]
        if share.rank == 0:
            from freqexp.tracking.mirror import Mirrors

            mirrors = Mirrors()
            observers += mirrors(cfg)
        cpu = time.process_time()
        print(f"freqexp: launched in {process_seconds():.2f} s ({cpu:.2f} s CPU)", flush=True)
        with watched(self._point(cfg), self._watcher(share)) as told:
            summary = execute_share(cfg, session, Lines(sys.stdout), observers, share)
            told(summary)
        if summary is not None and share.rank == 0:
            from freqexp.running.sweep import complete_deltas

            ended = complete_deltas(cfg, session, folder.parent.parent, self.sweep)
            mirrors.amend(ended)

    def _frozen(self) -> RunConfig:
        """The configuration as it was submitted. Raises UserError when it was edited since."""
        from freqexp.config.saved import from_yaml
        from freqexp.results.provenance import CONFIG

        file = Path(self.folder) / CONFIG
        try:
            data = file.read_bytes()
        except OSError as error:
            raise UserError(f"{file}: can't be read on this node ({error.strerror})") from None
        if hashlib.sha256(data).hexdigest() != self.config_sha256:
            raise UserError(
                f"{file} was changed after it was submitted, so nothing was computed. For another "
                "experiment type another command; the same command again restores this file and "
                "submits the point."
            )
        output_dir = str(Path(self.folder).parent.parent)
        return replace(from_yaml(file), output_dir=output_dir, sweep_name=self.sweep)

    def _point(self, cfg: RunConfig) -> Point:
        """As the sweep has it; what it was chosen by is written already."""
        import yaml

        from freqexp.running.plan import Point
        from freqexp.running.sweep_file import OVERRIDES

        file = Path(self.folder) / OVERRIDES
        overrides = yaml.safe_load(file.read_text("utf-8")) if file.is_file() else ()
        return Point(cfg, self.run_id, tuple(overrides), added=not file.is_file())

    def _watcher(self, share: Share) -> Watcher | None:
        """The callbacks of the command, in one of the processes of the point."""
        file = Path(self.folder).parent.parent / "sweeps" / self.sweep / HYDRA
        if share.rank or not file.is_file():
            return None
        from freqexp.composing.callbacks import frozen_events

        events = frozen_events(file)
        return events if events is not None and events.acts else None

    def _check_identity(self, cfg: RunConfig, session: Session) -> None:
        found = session.run_id(cfg)
        if found != self.run_id:
            raise UserError(
                f"what this run reads is not what was submitted: its id was {self.run_id} and is "
                f"{found} now. Weights or data were changed, or this node imports other code "
                f"({Path(__file__).parents[2]}). Submit again."
            )

    def _begin(self, folder: Path, environment: Any) -> None:
        """Say which job works here, and forget how an earlier one ended; unless another job is at
        work here, which this one must not touch.
        """
        from freqexp.files import read_json, write_json
        from freqexp.locks import is_held
        from freqexp.results.record_file import RECORDS
        from freqexp.running.sweep_file import check_writable
        from freqexp_cluster import lives

        check_writable(folder)
        known = read_json(folder / SUBMISSION) or {}
        if known.get("job_id") != environment.job_id and is_held(folder / RECORDS):
            print(f"freqexp: job {known.get('job_id')} is at work on this run", flush=True)
            return
        if known.get("job_id") != environment.job_id:
            write_json(
                folder / SUBMISSION,
                {
                    "job_id": environment.job_id,
                    "sweep": self.sweep,
                    "submitted": self.submitted,
                    "log": str(environment.paths.stdout),
                    "executor": "slurm" if environment.cluster == "slurm" else "workers",
                    "tasks": environment.num_tasks,
                },
            )
        for name in (ERROR, INTERRUPTED):
            with suppress(FileNotFoundError):
                (folder / name).unlink()
        lives.begin(folder, environment.job_id)

    def _note(self, error: Exception) -> None:
        """Leave the fault in error.txt, if it can be written; the log has it in any case."""
        from freqexp.files import write_text

        known = isinstance(error, UserError)
        text = f"{error}\n" if known else "".join(traceback.format_exception(error))
        print(f"freqexp: {error}", file=sys.stderr, flush=True)
        file = Path(self.folder) / ERROR
        if isinstance(error, HeldError):
            return  # the run is another job's, and so is what is said of it
        if not file.exists():  # the first process that fails knows why, the others only that it did
            with suppress(UserError):
                write_text(file, text)


def process_seconds() -> float:
    """Seconds since this process was started."""
    with suppress(OSError, ValueError, IndexError):
        # Field 22, counted after the name, which may hold anything.
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        uptime = float(Path("/proc/uptime").read_text().split()[0])
        return uptime - ticks / os.sysconf("SC_CLK_TCK")
    return time.process_time()
