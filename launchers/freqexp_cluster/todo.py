"""A sweep to be submitted, and what is to be done with each of its runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from freqexp.answering.session import Session
from freqexp.config.cluster import ClusterConfig, Retry
from freqexp.files import read_json
from freqexp.results.summary import finished_records
from freqexp.running.execute import run_folder
from freqexp.running.plan import Point
from freqexp_cluster.node import ERROR, SUBMISSION


@dataclass(frozen=True)
class Sweep:
    """What a command asked for. root: the absolute output folder. runs: baselines included.
    arguments: as typed. hydra: Hydra's part as YAML where a node needs it.
    """

    name: str
    root: Path
    cluster: ClusterConfig
    runs: Sequence[Point]
    session: Session
    arguments: Sequence[str] = ()
    hydra: str | None = None

    @property
    def folder(self) -> Path:
        """Of the sweep's own files."""
        return self.root / "sweeps" / self.name

    @property
    def jobs(self) -> Path:
        """Of submitit's files and the logs."""
        return self.folder / "jobs"

    def run_folder(self, point: Point) -> Path:
        """Of one run."""
        return run_folder(point.cfg, point.run_id)


@dataclass(frozen=True)
class Todo:
    """The runs of a sweep by what is to be done with them.

    queued: with their job's id. parts: their samples are among those of another point of the same
    run, which is to be submitted or queued.
    """

    submit: Sequence[Point]
    done: Sequence[Point]
    queued: Sequence[tuple[Point, str]]
    left: Sequence[Point]
    parts: Sequence[Point] = ()


def sort_out(sweep: Sweep, active: dict[str, str]) -> Todo:
    """Which runs are to be submitted. active: states of jobs that have not ended, by id."""
    submit, done, queued, left, parts = [], [], [], [], []
    most = {point.run_id: point.cfg.samples for point in sorted(sweep.runs, key=_samples)}
    for point in sweep.runs:
        folder = sweep.run_folder(point)
        job = str((read_json(folder / SUBMISSION) or {}).get("job_id"))
        if finished_records(folder, point.cfg.samples) is not None:
            done.append(point)
        elif point.cfg.samples < most[point.run_id]:
            parts.append(point)
        elif job in active:
            queued.append((point, job))
        elif sweep.cluster.retry is Retry.failed and not was_started(folder):
            left.append(point)
        else:
            submit.append(point)
    return Todo(submit, done, queued, left, parts)


def _samples(point: Point) -> int:
    return point.cfg.samples


def was_started(folder: Path) -> bool:
    """Whether a run that is not complete was submitted, or begun, before."""
    return any((folder / name).exists() for name in (SUBMISSION, ERROR, "provenance.json"))
