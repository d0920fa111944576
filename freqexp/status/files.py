"""What the files of a sweep say about each of its points, half-written and missing files included.

Nothing here raises for a bad file, waits, or takes a lock that a run could want.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from freqexp.files import read_json
from freqexp.status.logs import last_line, tail

STAGES = ("render_ms", "compress_ms", "encode_ms", "prefill_ms", "decode_ms")
"""Times of a record that do not overlap."""

NEWEST = 20
NOT_SHOWN = ("output_dir=", "sweep_name=", "tracking=", "cluster=", "cluster.", "wandb_")
"""Overrides that say nothing about what a point is."""

LIVES = "lives.json"

_SAMPLES = re.compile(r"^samples: (\d+)$", re.MULTILINE)
_NEEDLES = re.compile(r"^needles:\n(?:  .*\n)*?  count: (\d+)$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class RunFiles:
    """One point, from its files alone.

    label: the overrides that made it. slurm_cluster: where its job is, None: the default one.
    submitted: when, ISO 8601. executor: "slurm", "workers" or
    None (this process). tasks: how many processes share its samples. started: work on it has begun
    once. complete: every sample is scored. total: samples that the sweep asks for, or all where the
    data set holds fewer; None when unknown.
    scored, failed: samples with a score, and those with only an error. seconds_a_sample: in one
    process, mean over the newest records. error: why it ended, in one line, or what its newest
    failed sample said. crashed: that was an exception of the newest start. written: when the
    newest record was, in seconds since the epoch. lives: samples that each life of its job answered
    that met the time limit.
    """

    run_id: str
    folder: Path
    label: str
    job_id: str | None = None
    slurm_cluster: str | None = None
    executor: str | None = None
    submitted: str | None = None
    tasks: int = 1
    log: Path | None = None
    started: bool = False
    complete: bool = False
    total: int | None = None
    scored: int = 0
    failed: int = 0
    seconds_a_sample: float | None = None
    error: str | None = None
    crashed: bool = False
    written: float | None = None
    lives: tuple[int, ...] = ()


def read_run(
    folder: Path, overrides: list[str], added: bool, samples: int | None = None
) -> RunFiles:
    """What is known of the run in `folder`, which may not exist.

    added: a baseline nobody named. samples: how many the sweep asks for; None: as many as the run.
    """
    config = tail(folder / "config.yaml") or ""
    submission = read_json(folder / "submission.json") or {}
    summary = read_json(folder / "summary.json") or {}
    known: dict[str, Any] = {
        "run_id": folder.name,
        "folder": folder,
        "label": label(overrides, added, config),
        "job_id": text(submission.get("job_id")),
        "slurm_cluster": text(submission.get("slurm_cluster")),
        "executor": text(submission.get("executor")),
        "submitted": text(submission.get("submitted")),
        "tasks": count(submission.get("tasks")) or 1,
        "log": path_of(submission.get("log")),
        "total": total(config, summary, samples),
        "lives": lives(folder, text(submission.get("job_id"))),
    }
    over = is_over(summary, samples or asked_of(config))
    files = record_files(folder)
    if summary.get("failed") == 0 and over and number_of_lines(files) >= (known["total"] or 0):
        return RunFiles(**known, started=True, complete=True, scored=known["total"])
    scored, failures, seconds = read_records(files, samples)
    if over and scored == known["total"]:
        return RunFiles(**known, started=True, complete=True, scored=scored)
    crash = last_line(tail(folder / "error.txt")) if error_is_current(folder) else None
    error = crash or (list(failures.values())[-1] if failures else None)
    return RunFiles(
        **known,
        started=bool(files) or (folder / "provenance.json").exists(),
        scored=scored,
        failed=len(failures),
        seconds_a_sample=seconds,
        error=error,
        crashed=crash is not None,
        written=max((modified(file) for file in files), default=None),
    )


def record_files(folder: Path) -> list[Path]:
    """Record files of a run: one, or one a process."""
    return [file for file in sorted(folder.glob("records*.jsonl")) if modified(file)]


def number_of_lines(files: list[Path]) -> int:
    """Lines of record files, without reading what they say."""
    found = 0
    for file in files:
        with suppress(OSError):
            found += file.read_bytes().count(b"\n")
    return found


def lives(folder: Path, job_id: str | None) -> tuple[int, ...]:
    """What the lives of a job have come to."""
    known = read_json(folder / LIVES) or {}
    gained = known.get("gained")
    if known.get("job_id") != job_id or not isinstance(gained, list):
        return ()
    return tuple(number for number in gained if isinstance(number, int))


def read_records(
    files: list[Path], samples: int | None
) -> tuple[int, dict[str, str], float | None]:
    """(scored samples, error of each other one by its id, mean seconds of the newest scored).

    samples: only the first so many of the data set; None: all.
    """
    scored: set[str] = set()
    failures: dict[str, str] = {}
    newest: list[float] = []
    for file in files:
        times: list[float] = []
        for record in lines_of(file):
            sample_id = record.get("sample_id")
            index = record.get("index")
            further = samples is not None and isinstance(index, int) and index >= samples
            if not isinstance(sample_id, str) or further:
                continue
            if record.get("score") is None:
                failures[sample_id] = str(record.get("error"))
                continue
            scored.add(sample_id)
            milliseconds = [record.get(name) for name in STAGES]
            times.append(sum(ms for ms in milliseconds if isinstance(ms, int | float)) / 1000)
        newest += times[-NEWEST:]
    failures = {name: error for name, error in failures.items() if name not in scored}
    seconds = sum(newest) / len(newest) if newest else None
    return len(scored), failures, seconds or None


def lines_of(file: Path) -> Iterator[dict[str, Any]]:
    """The JSON objects of a file, a line each; other lines are passed over."""
    try:
        data = file.read_bytes()
    except OSError:
        return
    for line in data.splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            yield value


def error_is_current(folder: Path) -> bool:
    """Whether error.txt is of the newest start: nothing was submitted or begun after it."""
    written = modified(folder / "error.txt")
    later = max(modified(folder / name) for name in ("submission.json", "provenance.json"))
    return written > 0 and written >= later


def total(config: str, summary: dict[str, Any], samples: int | None) -> int | None:
    """Samples of a run; a file of data can hold fewer than are asked for."""
    asked = samples or asked_of(config)
    held = count(summary.get("samples"))
    if held is None or not is_over(summary, asked):
        return asked
    return held if samples is None else min(held, samples)


def asked_of(config: str) -> int | None:
    """How many samples a saved configuration asks for; None when it does not say."""
    found = _SAMPLES.search(config)
    return int(found[1]) if found else None


def is_over(summary: dict[str, Any], samples: int | None) -> bool:
    """Whether a summary is over `samples` samples or more, or over all of the data set.

    One that does not say how many were asked for was written when nothing was left to do.
    """
    held, asked = count(summary.get("samples")), count(summary.get("samples_asked"))
    if held is None:
        return False
    return samples is None or asked is None or samples <= asked or held < asked


def label(overrides: list[str], added: bool, config: str) -> str:
    """A point in the words of the command."""
    if added:
        needles = _NEEDLES.search(config)
        return f"baseline, {needles[1]} needles" if needles else "baseline"
    shown = [item for item in overrides if not item.lstrip("+").startswith(NOT_SHOWN)]
    return " ".join(shown) or "defaults"


def modified(file: Path) -> float:
    """When a file was last written, in seconds since the epoch; 0 when there is none."""
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0


def text(value: object) -> str | None:
    """A string or number of a JSON file as a string; None for anything else."""
    return str(value) if isinstance(value, str | int) and value != "" else None


def count(value: object) -> int | None:
    """A whole number above 0 of a JSON file; None for anything else."""
    whole = isinstance(value, int) and not isinstance(value, bool) and value > 0
    return value if whole and isinstance(value, int) else None


def path_of(value: object) -> Path | None:
    """A path in a JSON file; None for anything else."""
    return Path(value) if isinstance(value, str) and value else None
