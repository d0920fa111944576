"""Records kept in an append-only file that survives being killed.

One run folder holds config.yaml, provenance.json, records.jsonl and summary.json. `records.jsonl`
is the truth: one JSON object a sample, a line each, in the order they were computed. Everything
else can be made again from it.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from dataclasses import asdict
from pathlib import Path
from types import TracebackType

from freqexp.errors import UserError
from freqexp.locks import HeldError, Lock
from freqexp.results.record import Record, parse_record

RECORDS = "records.jsonl"


def _parse_lines(path: Path, data: bytes) -> tuple[list[Record], int]:
    """Records in `data` and how many bytes of it are whole: all but a torn last line.

    A line is written with its newline last, so only a line without one can be torn. Raises
    UserError for any other line that is no record.
    """
    records: list[Record] = []
    whole = 0
    *ended, rest = data.split(b"\n")
    for number, raw in enumerate([*ended, rest] if rest else ended, start=1):
        try:
            records.append(parse_record(raw.decode("utf-8")))
        except ValueError as error:
            if number > len(ended):
                break
            raise UserError(
                f"{path}, line {number}: not a record ({error}). Nothing was changed; mend or "
                f"remove that line, or move {path.parent} away to start the run afresh."
            ) from None
        whole += len(raw) + 1
    return records, min(whole, len(data))


def load_records(path: Path) -> list[Record]:
    """All records of a file in its order, a torn last line left out; [] when there is no file.
    Changes nothing.

    Raises UserError naming file and line for a corrupt line.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    return _parse_lines(path, data)[0]


class Records:
    """The append-only record file of one run, held by one process at a time.

    Use as a context manager: entering locks the file, removes a torn last line and reads the rest.
    The lock belongs to the process, so it goes with it however it ends.

    Raises HeldError when another process holds the run, UserError when the file is corrupt or
    when it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records: list[Record] = []
        self._descriptor = -1

    def __enter__(self) -> Records:
        """Lock, repair and read."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise UserError(f"cannot write {self.path}: {error.strerror}") from None
        try:
            self._lock = Lock(self.path, self._descriptor)
            self._take()
            try:
                self._read_and_repair()
            except BaseException:
                self._lock.release()
                raise
        except BaseException:
            os.close(self._descriptor)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Unlock and close."""
        self._lock.release()
        os.close(self._descriptor)

    def _take(self) -> None:
        try:
            self._lock.take()
        except HeldError as error:
            raise HeldError(
                f"another process is working on this run ({self.path.parent}); wait for it or stop "
                f"it first: {error}"
            ) from None

    def _read_and_repair(self) -> None:
        data = self.path.read_bytes()
        self.records, whole = _parse_lines(self.path, data)
        if whole < len(data):
            os.ftruncate(self._descriptor, whole)
        elif data and not data.endswith(b"\n"):
            # The line got onto the disk, only its newline did not.
            os.write(self._descriptor, b"\n")

    def append(self, record: Record) -> None:
        """Add one line. It is with the operating system when this returns, so killing the process
        cannot lose it.

        Raises UserError when it cannot be written (full disk); what a partial write left is
        removed.
        """
        line = json.dumps(asdict(record), allow_nan=False).encode() + b"\n"
        end = os.fstat(self._descriptor).st_size
        try:
            written = os.write(self._descriptor, line)
            if written < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, end)
            raise UserError(f"cannot write {self.path}: {error.strerror}") from None
        self.records.append(record)
