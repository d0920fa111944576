"""A sweep to be submitted, and what is to be done with each of its runs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from freqexp.answering.session import Session
from freqexp.config.cluster import ClusterConfig, Retry
from freqexp.files import read_json
from freqexp.results.summary import finished_records
from freqexp.running.execute import run_folder
from freqexp.running.plan import Point
from freqexp_cluster.node import ERROR, SUBMISSION
from freqexp_cluster.queue import job_key


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

    queued: with their job's key. parts: their samples are among those of another point of the same
    run, which is to be submitted or queued.
    """

    submit: Sequence[Point]
    done: Sequence[Point]
    queued: Sequence[tuple[Point, str]]
    left: Sequence[Point]
    parts: Sequence[Point] = ()


def sort_out(sweep: Sweep, active: Collection[str]) -> Todo:
    """Which runs are to be submitted. active: `job_key`s of jobs that have not ended."""
    submit, done, queued, left, parts = [], [], [], [], []
    most = {point.run_id: point.cfg.samples for point in sorted(sweep.runs, key=_samples)}
    for point in sweep.runs:
        folder = sweep.run_folder(point)
        job = noted_job(folder)
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


def noted_job(folder: Path) -> str:
    """`job_key` of the job that a run was submitted as last."""
    note = read_json(folder / SUBMISSION) or {}
    cluster = note.get("slurm_cluster")
    return job_key(str(note.get("job_id")), None if cluster is None else str(cluster))


def noted_clusters(sweep: Sweep) -> set[str]:
    """Clusters other than the default one that runs of the sweep were submitted to."""
    notes = (read_json(sweep.run_folder(point) / SUBMISSION) or {} for point in sweep.runs)
    return {str(note["slurm_cluster"]) for note in notes if note.get("slurm_cluster")}


def _samples(point: Point) -> int:
    return point.cfg.samples


def was_started(folder: Path) -> bool:
    """Whether a run that is not complete was submitted, or begun, before."""
    return any((folder / name).exists() for name in (SUBMISSION, ERROR, "provenance.json"))
