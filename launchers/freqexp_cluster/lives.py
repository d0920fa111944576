"""What the lives of a job have come to: one that meets its time limit is requeued and lives again.

A job whose time is too short for a single sample would do so for ever.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from freqexp.files import read_json, write_json
from freqexp.status.files import LIVES, read_records, record_files

if TYPE_CHECKING:
    from freqexp.config.cluster import ClusterConfig

MOST_IDLE = 3
"""Lives in a row that end at the time limit without a new sample."""


def answered(folder: Path) -> int:
    """Samples of a run that have a score."""
    return read_records(record_files(folder), None)[0]


def begin(folder: Path, job_id: str) -> None:
    """A life of this job begins."""
    earlier = read_json(folder / LIVES) or {}
    gained = earlier.get("gained", []) if earlier.get("job_id") == job_id else []
    value = {"job_id": job_id, "gained": gained, "began_with": answered(folder)}
    write_json(folder / LIVES, value)


def end(folder: Path) -> list[int]:
    """A life ends at its time limit. Gives how many samples each of the job's lives answered."""
    known = read_json(folder / LIVES) or {}
    gained = [*known.get("gained", []), answered(folder) - known.get("began_with", 0)]
    write_json(folder / LIVES, {**known, "gained": gained})
    return gained


def advice(gained: list[int], folder: Path, cluster: ClusterConfig) -> str | None:
    """What to do when the newest lives have come to nothing; None while there is progress."""
    if len(gained) < MOST_IDLE or any(gained[-MOST_IDLE:]):
        return None
    return (
        f"{MOST_IDLE} lives in a row met the time limit without a new sample ({answered(folder)} "
        f"are answered): loading and one batch take longer than cluster.time={cluster.time} less "
        f"cluster.signal_delay_s={cluster.signal_delay_s} leaves. Take a longer cluster.time, a "
        "shorter cluster.signal_delay_s or a smaller batch; the same command goes on from there."
    )
