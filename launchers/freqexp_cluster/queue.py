"""What SLURM says of the user's jobs, and how it is asked."""

from __future__ import annotations

import getpass
import re
import shutil
import subprocess
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from freqexp.errors import UserError
from freqexp_cluster.surroundings import clean

SECONDS = 60
MOST_QUOTED = 400
NAMES = "freqexp-"
"""What the names of all jobs of this package begin with."""
_ID = re.compile(r"(\d+)(?:_(?:(\d+)|\[([\d,:-]+)(?:%\d+)?\]))?")


@dataclass(frozen=True)
class Job:
    """A job that has not ended, or one task of an array. reason: why it waits, as squeue has it.

    command: the file it was submitted from, "" where squeue does not say.
    """

    state: str
    reason: str = ""
    name: str = ""
    command: str = ""


def ask(*command: str) -> str:
    """What a SLURM command prints. Raises UserError with what it complains about."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
            env=clean(),
        )
    except FileNotFoundError:
        raise UserError(no_slurm(command[0])) from None
    except OSError as error:
        raise UserError(f"{command[0]}: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise UserError(f"{command[0]}: no answer for {SECONDS} s; is slurmctld up?") from None
    if done.returncode:
        said = quoted(done.stderr.strip() or done.stdout.strip())
        raise UserError(f"{command[0]} ended with exit code {done.returncode}: {said}")
    return done.stdout


def quoted(text: str) -> str:
    """What a program printed, in one line of a bounded length."""
    lines = "; ".join(line.strip() for line in text.splitlines() if line.strip())
    return lines if len(lines) <= MOST_QUOTED else f"{lines[:MOST_QUOTED]}..."


def no_slurm(command: str) -> str:
    """What to do where SLURM's commands are missing."""
    return (
        f"cluster: {command} is not on PATH, so there is no SLURM here. Log in to a node of the "
        "cluster that submits jobs (or `module load slurm`), or take cluster=workers or "
        "cluster=local."
    )


def require_commands() -> None:
    """Raise UserError when a command of SLURM that is needed is missing."""
    for command in ("sbatch", "srun", "squeue", "sinfo"):
        if shutil.which(command) is None:
            raise UserError(no_slurm(command))


def job_key(job_id: str, cluster: str | None = None) -> str:
    """A job or a task of an array, told apart from those of the same number on other clusters."""
    return job_id if cluster is None else f"{job_id}@{cluster}"


def active_jobs(clusters: Collection[str] = ()) -> dict[str, Job]:
    """The user's jobs that have not ended by `job_key`, each task of an array ("7_3") by itself.

    clusters: others than SLURM's default that are asked, too.
    Raises UserError when squeue does not answer, or with what can't be understood.
    """
    found: dict[str, Job] = {}
    for cluster in (None, *sorted(clusters)):
        where = [] if cluster is None else ["-M", cluster]
        chosen = ["-h", "-r", *where, "-o", "%i|%T|%r|%j|%o", "-u", getpass.getuser()]
        found |= read_jobs(ask("squeue", *chosen), cluster)
    return found


def read_jobs(output: str, cluster: str | None = None) -> dict[str, Job]:
    """Jobs of squeue's lines. Others (a header, a site's greeting) are passed over, unless they
    begin as a job does: overlooking one could submit it twice.
    """
    found: dict[str, Job] = {}
    for line in output.splitlines():
        if not line[:1].isdecimal() or "|" not in line:
            continue
        job_id, state, reason, name, command = [*line.split("|", 4), "", "", "", ""][:5]
        known = _ID.fullmatch(job_id.strip())
        if known is None or not state.strip():
            if name and not name.startswith(NAMES):
                continue
            raise UserError(f"squeue: a line of its answer is no job that is known: {quoted(line)}")
        job = Job(state.strip(), reason.strip(), name.strip(), command.strip())
        for task in _tasks(*known.groups()):
            found[job_key(task, cluster)] = job
    return found


def _tasks(job: str, task: str | None, several: str | None) -> list[str]:
    """Ids of what one line is about: "7", "7_3", or "7_[0-2,5,8-12:2]"."""
    if several is None:
        return [job if task is None else f"{job}_{task}"]
    numbers: list[int] = []
    for part in several.split(","):
        span, _, step = part.partition(":")
        first, _, last = span.partition("-")
        numbers += range(int(first), int(last or first) + 1, int(step or 1))
    return [f"{job}_{number}" for number in numbers]


def of_folder(jobs: Mapping[str, Job], folder: Path, name: str) -> Sequence[str]:
    """Keys of the active jobs that were submitted from a batch file in `folder`."""
    found = []
    for key, job in jobs.items():
        elsewhere = job.command.startswith("/") and not job.command.startswith(f"{folder}/")
        if job.name == name and not elsewhere:
            found.append(key)
    return found
