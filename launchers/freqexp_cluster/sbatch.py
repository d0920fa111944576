"""sbatch: what it is given, and what its answer means."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from freqexp.errors import UserError
from freqexp_cluster import queue
from freqexp_cluster.queue import quoted
from freqexp_cluster.surroundings import clean

LOOKS = 3
LOOK_SECONDS = 1.0
_OWN = re.compile(r"^Submitted batch job (\d+)(?: on cluster (\S+))?\s*$", re.MULTILINE)
_PARSABLE = re.compile(r"(\d+)(?:;(\S+))?")


@dataclass(frozen=True)
class Submitted:
    """A job, or an array. cluster: named by sbatch where it is not the default one."""

    job_id: str
    cluster: str | None = None


class RefusedError(UserError):
    """sbatch refused a job, and none is queued."""


class UnclearError(UserError):
    """Whether a job is queued can't be found out."""


def submit(file: Path, name: str, defaults: Mapping[str, str]) -> Submitted:
    """Submit a batch file. name: of its job. defaults: the user's own, for all submissions.

    Where sbatch's answer leaves it open, squeue is asked for a job of this very file. Raises
    RefusedError, and UnclearError when a job may be queued all the same.
    """
    environment = {**clean(), **defaults}
    try:
        done = subprocess.run(
            ["sbatch", str(file)], capture_output=True, text=True, errors="replace", env=environment
        )
    except OSError as error:
        raise RefusedError(f"sbatch can't be started: {error.strerror}") from None
    found = _OWN.search(done.stdout)
    if found is not None:
        return Submitted(found[1], found[2])
    said = f"it printed {quoted(done.stdout)!r}" if done.stdout.strip() else "it printed nothing"
    if done.stderr.strip():
        said += f" and complained {complaint(done.stderr)!r}"
    if done.returncode and not _may_be_queued(done.stderr):
        raise RefusedError(complaint(done.stderr) or said)
    number = _PARSABLE.fullmatch(done.stdout.strip())
    queued = look_for(file, name, number)
    if queued is not None:
        return queued
    raise UnclearError(
        f"sbatch ended with exit code {done.returncode}, but its answer names no job: {said}. A "
        f"job may be queued. Look with `squeue --me --name={name}` and cancel what is there "
        "before the same command again"
    )


def complaint(text: str) -> str:
    """What sbatch complained about, without its own name before each line."""
    lines = [line for line in text.splitlines() if "error:" in line] or text.splitlines()
    return quoted("\n".join(line.split("error:")[-1].strip() for line in lines))


def _may_be_queued(complained: str) -> bool:
    """Whether sbatch gave up waiting for an answer, after which the job is often there."""
    return any(word in complained.lower() for word in ("timed out", "timeout", "zero bytes"))


def look_for(file: Path, name: str, number: re.Match[str] | None) -> Submitted | None:
    """The job that was submitted from `file`, or has the number that was printed and the name."""
    cluster = number[2] if number else None
    for look in range(LOOKS):
        time.sleep(LOOK_SECONDS if look else 0)
        try:
            jobs = queue.active_jobs([cluster] if cluster else [])
        except UserError:
            continue
        for key, job in jobs.items():
            job_id, _, there = key.partition("@")
            first = job_id.split("_")[0]
            printed = number is not None and first == number[1] and (there or None) == cluster
            if job.command.split(" ")[0] == str(file) or (printed and job.name == name):
                return Submitted(first, there or None)
    return None
