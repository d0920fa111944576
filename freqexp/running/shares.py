"""Several processes on one run: which samples each answers, and how their records become one file.

Process 0 writes records.jsonl, process r writes records-<r>.jsonl, so nobody shares a file. Which
samples are whose depends on rank and number alone; what is already answered, by whichever process
of whichever earlier life, is left out. Process 0 ends last and moves everything into records.jsonl.
"""

from __future__ import annotations

import contextlib
import math
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from freqexp.errors import UserError
from freqexp.files import write_text
from freqexp.locks import is_held, wait_until_free
from freqexp.results.record import Record
from freqexp.results.record_file import RECORDS, Records, load_records

PARTS = "records-*.jsonl"
MARKS = ".shares"
POLL_SECONDS = 0.2
START_SECONDS = 900.0


class Preempted(BaseException):
    """The process was asked to leave. Not an Exception: no sample may take it for its own fault."""


class Share:
    """One process's part of a run.

    rank, of: this is process `rank` of `of`. life: distinguishes this start from earlier ones, the
    same text in all its processes.
    """

    def __init__(self, rank: int = 0, of: int = 1, life: str = "") -> None:
        self.rank = rank
        self.of = of
        self.life = life
        self.leaving = False
        self.patience_s = math.inf
        """How long to wait for another process that works on the run."""

    def check(self) -> None:
        """Raises Preempted when the process was asked to leave (`leaving`)."""
        if self.leaving:
            raise Preempted

    def file(self, folder: Path) -> Path:
        """The record file of this process."""
        return folder / (RECORDS if self.rank == 0 else f"records-{self.rank}.jsonl")

    @contextlib.contextmanager
    def records(self, folder: Path, waiting: Callable[[], None]) -> Iterator[Records]:
        """The record file of this process, once no other one works on it.

        waiting: called once before it is waited. Raises HeldError when another process still works
        on it after the share's patience, Preempted when asked to leave.
        """
        told: list[bool] = []

        def check() -> None:
            self.check()
            if not told:
                told.append(True)
                waiting()

        store = Records(self.file(folder))
        wait_until_free(store.__enter__, check, self.patience_s)
        try:
            yield store
        finally:
            store.__exit__(None, None, None)

    def of_others(self, folder: Path) -> dict[Path, list[Record]]:
        """Records of all other processes, of earlier lives with other numbers of them, too."""
        own = self.file(folder)
        files = [folder / RECORDS, *sorted(folder.glob(PARTS))]
        return {file: load_records(file) for file in files if file != own}

    def mine(self, count: int) -> range:
        """Indices, of `count` samples, that this process answers."""
        return range(self.rank, count, self.of)

    def begin(self, folder: Path) -> None:
        """Tell process 0 that this one works; its record file is locked from now on."""
        if self.of > 1:
            write_text(self._mark(folder, self.rank, "started"), "")

    def end(self, folder: Path) -> None:
        """Tell process 0 that this one has answered its samples."""
        if self.of > 1:
            write_text(self._mark(folder, self.rank, "done"), "")

    def gather(self, folder: Path, store: Records) -> list[Record]:
        """For process 0: wait for the others, then move their records into `store`. Gives those.

        Raises UserError when one of them has died, Preempted when asked to leave.
        """
        started = time.monotonic()
        waiting = set(range(1, self.of))
        while waiting:
            self.check()
            waiting = {rank for rank in waiting if not self._mark(folder, rank, "done").exists()}
            for rank in waiting:
                self._check_alive(folder, rank, time.monotonic() - started)
            if waiting:
                time.sleep(POLL_SECONDS)
        taken = _absorb(folder, store)
        shutil.rmtree(folder / MARKS, ignore_errors=True)
        return taken

    def _check_alive(self, folder: Path, rank: int, waited_s: float) -> None:
        part = folder / f"records-{rank}.jsonl"
        if self._mark(folder, rank, "started").exists():
            # It may have ended well between the two looks.
            gone = not is_held(part) and not self._mark(folder, rank, "done").exists()
        else:
            gone = waited_s > START_SECONDS
        if gone:
            raise UserError(
                f"process {rank} of {self.of} ended before its samples were answered; its log says "
                "why. What was answered is kept: the same command computes the rest."
            )

    def _mark(self, folder: Path, rank: int, what: str) -> Path:
        return folder / MARKS / f"{self.life}-{rank}.{what}"


def _absorb(folder: Path, store: Records) -> list[Record]:
    """Append to `store` what the other files have and it has not, then remove them.

    A file is removed only when all of it is in `store`; killed in between, the next start sees some
    records twice and takes each once.
    """
    taken: list[Record] = []
    for part in sorted(folder.glob(PARTS)):
        taken += _new(store.records, load_records(part), store)
        with contextlib.suppress(FileNotFoundError):
            part.unlink()
    return taken


def _new(known: Sequence[Record], offered: Sequence[Record], store: Records) -> list[Record]:
    scored = {record.sample_id for record in known if record.score is not None}
    seen = {record.sample_id for record in known}
    taken = []
    for record in offered:
        better = record.score is not None and record.sample_id not in scored
        if better or record.sample_id not in seen:
            store.append(record)
            taken.append(record)
            seen.add(record.sample_id)
            if record.score is not None:
                scored.add(record.sample_id)
    return taken
