"""What a submitted run reads: its frozen configuration, and a copy of the code."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freqexp.config.identity import all_outside, code_hash
from freqexp.errors import UserError
from freqexp.files import write_json, write_text
from freqexp.outside.source import source_digest
from freqexp.results.provenance import CONFIG, now
from freqexp.running.plan import Point
from freqexp.running.sweep_file import check_writable, write_overrides, write_sweep
from freqexp_cluster.node import HYDRA, SUBMISSION, PointTask
from freqexp_cluster.snapshot import snapshot
from freqexp_cluster.todo import Sweep

if TYPE_CHECKING:
    from freqexp.config.run import RunConfig


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
        write_overrides(folder, point)
        digest = hashlib.sha256(text.encode()).hexdigest()
        tasks.append(PointTask(point.run_id, str(folder), sweep.name, submitted, digest))
    write_sweep(sweep.root, sweep.name, sweep.runs, sweep.arguments)
    if sweep.hydra is not None:
        write_text(sweep.folder / HYDRA, sweep.hydra)
    else:
        (sweep.folder / HYDRA).unlink(missing_ok=True)
    sweep.jobs.mkdir(parents=True, exist_ok=True)
    return tasks


def copy_code(sweep: Sweep) -> Path:
    """The snapshot that the points run with.

    Raises UserError when it is not the code that the run ids are of.
    """
    outside = {source.top: source for point in sweep.runs for source in all_outside(point.cfg)}
    code = snapshot(sweep.folder, outside.values())
    same = code_hash(code / "freqexp") == code_hash()
    if not same or any(source_digest(s.top) != s.digest for s in outside.values()):
        raise UserError("the code was edited while it was submitted; nothing was, submit again")
    return code


def note_submission(
    sweep: Sweep, task: PointTask, job: Any, slurm_cluster: str | None = None
) -> None:
    """Write submission.json of one run; what its last attempt left no longer counts.

    slurm_cluster: where the job is, if that is not SLURM's default one.
    """
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
            **({} if slurm_cluster is None else {"slurm_cluster": slurm_cluster}),
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
