"""From checked points to one job array, or to local processes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freqexp.answering.session import Session
from freqexp.config.cluster import ClusterConfig, Executor, Retry
from freqexp.config.identity import code_hash
from freqexp.errors import ConfigError, UserError, fault
from freqexp.files import read_json, write_json, write_text
from freqexp.results.provenance import CONFIG, now
from freqexp.results.summary import finished_records
from freqexp.running.execute import run_folder
from freqexp.running.sweep import (
    Point,
    check_same_sweep,
    check_writable,
    plan,
    sweep_name,
    write_sweep,
)
from freqexp_cluster import queue
from freqexp_cluster.node import ERROR, SUBMISSION, PointTask
from freqexp_cluster.snapshot import snapshot

if TYPE_CHECKING:
    from freqexp.composing import compose
    from freqexp.config.run import RunConfig

NODE_LOCAL = ("/tmp", "/var/tmp", "/dev/shm", "/run")


@dataclass(frozen=True)
class Sweep:
    """What a command asked for. root: the absolute output folder. runs: baselines included."""

    name: str
    root: Path
    cluster: ClusterConfig
    runs: Sequence[Point]
    session: Session

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
    """The runs of a sweep by what is to be done with them. queued: with their job's id."""

    submit: Sequence[Point]
    done: Sequence[Point]
    queued: Sequence[tuple[Point, str]]
    left: Sequence[Point]


def launch(points: Sequence[compose.Point]) -> int:
    """Compute checked points as `cluster` says. Gives the exit code of the command.

    Raises ConfigError and UserError before anything is submitted.
    """
    from freqexp_cluster import dry_run, slurm, workers

    sweep = make_sweep(points)
    if sweep.cluster.dry_run:
        return dry_run.show(sweep)
    if sweep.cluster.executor is Executor.workers:
        return workers.run(sweep)
    return slurm.run(sweep)


def make_sweep(points: Sequence[compose.Point]) -> Sweep:
    """The sweep of these points. Raises ConfigError for points that can't go out together."""
    configs = [absolute(point.config) for point in points]
    faults = []
    for name in ("cluster", "output_dir", "sweep_name"):
        values = list(dict.fromkeys(repr(getattr(cfg, name)) for cfg in configs))
        if len(values) > 1:
            allowed = "one value for all points of a sweep that is submitted"
            faults.append(fault(name, f"{len(values)} different ones", allowed))
    if faults:
        raise ConfigError(faults)
    session = Session()
    runs = plan(configs, session, [point.overrides for point in points])
    name = sweep_name(configs, runs)
    root = Path(configs[0].output_dir)
    check_same_sweep(root, name, runs)
    return Sweep(name, root, configs[0].cluster, runs, session)


def absolute(cfg: RunConfig) -> RunConfig:
    """The same run with paths that mean the same in any folder."""

    def full(path: str) -> str:
        return os.path.abspath(os.path.expanduser(path))

    model, needles = cfg.model, cfg.needles
    # A hub id looks like a path, and is none as long as there is no such folder.
    if model.path is not None and Path(model.path).expanduser().exists():
        model = replace(model, path=full(model.path))
    font = getattr(model.render, "font_path", None)
    if font is not None:
        render: Any = model.render
        model = replace(model, render=replace(render, font_path=full(font)))
    if needles.path is not None:
        needles = replace(needles, path=full(needles.path))
    return replace(cfg, model=model, needles=needles, output_dir=full(cfg.output_dir))


def sort_out(sweep: Sweep, active: dict[str, str]) -> Todo:
    """Which runs are to be submitted. active: states of jobs that have not ended, by id."""
    submit, done, queued, left = [], [], [], []
    for point in sweep.runs:
        folder = sweep.run_folder(point)
        job = str((read_json(folder / SUBMISSION) or {}).get("job_id"))
        if finished_records(folder) is not None:
            done.append(point)
        elif job in active:
            queued.append((point, job))
        elif sweep.cluster.retry is Retry.failed and not was_started(folder):
            left.append(point)
        else:
            submit.append(point)
    return Todo(submit, done, queued, left)


def was_started(folder: Path) -> bool:
    """Whether a run that is not complete was submitted, or begun, before."""
    return any((folder / name).exists() for name in (SUBMISSION, ERROR, "provenance.json"))


def freeze(sweep: Sweep, points: Sequence[Point]) -> list[PointTask]:
    """Write the frozen configuration of every run, and sweep.json; give the tasks to submit.

    Raises UserError when a file can't be written (full disk); nothing is submitted then.
    """
    check_writable(sweep.root)
    texts = YamlTexts()
    submitted = now()
    tasks = []
    for point in points:
        folder = sweep.run_folder(point)
        text = texts.of(replace(point.cfg, sweep_name=sweep.name))
        if not (folder / CONFIG).exists() or (folder / CONFIG).read_text("utf-8") != text:
            write_text(folder / CONFIG, text)
        digest = hashlib.sha256(text.encode()).hexdigest()
        tasks.append(PointTask(point.run_id, str(folder), sweep.name, submitted, digest))
    write_sweep(sweep.root, sweep.name, sweep.runs)
    sweep.jobs.mkdir(parents=True, exist_ok=True)
    return tasks


def copy_code(sweep: Sweep) -> Path:
    """The snapshot that the points run with.

    Raises UserError when it is not the code that the run ids are of.
    """
    code = snapshot(sweep.folder)
    if code_hash(code / "freqexp") != code_hash():
        raise UserError("the code was edited while it was submitted; nothing was, submit again")
    return code


def note_submission(sweep: Sweep, task: PointTask, job: Any) -> None:
    """Write submission.json of one run; what its last attempt left no longer counts."""
    folder = Path(task.folder)
    write_json(
        folder / SUBMISSION,
        {
            "job_id": job.job_id,
            "sweep": sweep.name,
            "submitted": task.submitted,
            "log": str(job.paths.stdout).replace("%t", "0"),
            "executor": sweep.cluster.executor.value,
            "tasks": sweep.cluster.tasks,
        },
    )


class YamlTexts:
    """`to_yaml` of many runs: each different section of theirs is written once.

    OmegaConf takes 20 ms a run, and runs of a sweep share most of what they are.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], str] = {}

    def of(self, cfg: RunConfig) -> str:
        """The same text as `to_yaml`."""
        return "".join(self._section(item.name, getattr(cfg, item.name)) for item in fields(cfg))

    def _section(self, name: str, value: Any) -> str:
        from omegaconf import OmegaConf

        key = (name, repr(value))
        if key not in self._known:
            self._known[key] = OmegaConf.to_yaml(OmegaConf.create({name: value}))
        return self._known[key]


def warn_of_place(root: Path) -> str | None:
    """A warning about an output folder that only this machine can see."""
    if any(root.is_relative_to(place) for place in NODE_LOCAL):
        return (
            f"output_dir {root} is usually on this machine alone; if the nodes do not see it, the "
            "jobs end without even a log. Take a folder on the shared file system."
        )
    return None


def require_slurm(sweep: Sweep) -> None:
    """Raise UserError or ConfigError for what SLURM can't do."""
    queue.require_commands()
    queue.check_against(sweep.cluster, queue.partitions())


def refusal(error: Exception) -> UserError:
    """What sbatch said when it refused a job."""
    lines = [line for line in str(error).splitlines() if "error:" in line] or [str(error)]
    said = " ".join(line.split("error:")[-1].strip() for line in lines)
    return UserError(
        f"sbatch refused the sweep, nothing was submitted: {said}. "
        "cluster.dry_run=true shows what is sent."
    )
