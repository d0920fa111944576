"""What is alive: jobs that SLURM knows, and processes of this machine that hold a record file."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from freqexp.locks import has_lock_file

SQUEUE_SECONDS = 20
SQUEUE_FIELDS = "JobArrayID:40,State:30,RestartCnt:12,Reason:80"

LOCKS = Path("/proc/locks")


@dataclass(frozen=True)
class Job:
    """What squeue says of a job or of one task of an array. restarts: how often it was requeued."""

    state: str
    restarts: int
    reason: str


class QueueError(Exception):
    """Squeue did not answer; says why, in one line."""


def queue(job_ids: Iterable[str], cluster: str | None = None) -> dict[str, Job]:
    """The jobs of these ids ("7" or "7_3") that SLURM still knows, ended ones of late included.

    cluster: where they are, None: the default one.

    Raises QueueError without SLURM or without an answer.
    """
    arrays = sorted({job_id.partition("_")[0] for job_id in job_ids})
    arrays = [array for array in arrays if array.isdecimal()]
    if not arrays:
        return {}
    if shutil.which("squeue") is None:
        raise QueueError("there is no squeue here")
    where = ["-M", cluster] if cluster else []
    chosen = [*where, "-r", "-t", "all", "-O", SQUEUE_FIELDS, "-j", ",".join(arrays)]
    try:
        answer = subprocess.run(
            ["squeue", "--noheader", *chosen],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SQUEUE_SECONDS,
            env=surroundings(),
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise QueueError(f"squeue did not answer ({type(error).__name__})") from None
    if answer.returncode:
        # With one id, unlike with several, squeue minds that it no longer knows it.
        if "Invalid job id" in answer.stderr:
            return {}
        raise QueueError(" ".join(answer.stderr.split()) or "squeue failed")
    return parse_queue(answer.stdout)


def surroundings() -> dict[str, str]:
    """The environment without what would hide jobs or fields from squeue."""
    return {name: value for name, value in os.environ.items() if not name.startswith("SQUEUE_")}


def parse_queue(output: str) -> dict[str, Job]:
    """Jobs by id, from what squeue prints; lines that are something else are passed over."""
    jobs = {}
    for line in output.splitlines():
        words = line.split(maxsplit=3)
        if len(words) == 4 and re.fullmatch(r"\d+(_\d+)?", words[0]) and words[2].isdecimal():
            jobs[words[0]] = Job(words[1], int(words[2]), words[3].strip())
    return jobs


def held_inodes() -> dict[int, set[int]]:
    """Processes of this machine by the inode of the file that each holds a lock on.

    Read from the kernel's list, because trying the lock could take it from a run that just starts.
    """
    held: dict[int, set[int]] = {}
    try:
        lines = LOCKS.read_text().splitlines()
    except OSError:
        return held
    for line in lines:
        words = line.split()
        # As in "1: FLOCK ADVISORY WRITE 708 08:02:393247 0 EOF"; a waiting one has "->" behind it.
        if len(words) == 8 and words[1] == "FLOCK" and words[4].isdecimal():
            inode = words[5].rpartition(":")[2]
            held.setdefault(int(inode), set()).add(int(words[4]))
    return held


def is_held(file: Path, held: dict[int, set[int]]) -> bool:
    """Whether a living process holds `file`; `held` as `held_inodes` gives it."""
    try:
        status = file.stat()
    except OSError:
        return False
    if any(has_open(process, status) for process in held.get(status.st_ino, ())):
        return True
    return has_lock_file(file)


def has_open(process: int, status: os.stat_result) -> bool:
    """Whether a process has that file open: inodes are only unique within a file system.

    Of another user's process this cannot be seen, and is taken to be so.
    """
    try:
        links = list(Path(f"/proc/{process}/fd").iterdir())
    except PermissionError:
        return True
    except OSError:
        return False
    for link in links:
        try:
            if os.path.samestat(link.stat(), status):
                return True
        except OSError:
            continue
    return False
