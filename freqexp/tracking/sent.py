"""Which records of a run W&B has, or will have from folders that wait for `wandb sync`.

`wandb sync` adds what a folder holds to what the server has of that run. So every life of a run
logs what no earlier one has, and a folder whose records are logged anew is removed.
"""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from freqexp.files import read_json, write_json

FILE = "wandb.json"
MIRROR = "wandb"


@dataclass
class Life:
    """One start of a mirror.

    folder: that waits for `wandb sync`; None: online. first, last: records [first, last) are in it;
    last is None until it is left well. tables: of samples, that had been logged when it began, and
    when it was left. failed: the server stopped answering, so that nothing of it counts.
    """

    folder: str | None
    first: int
    tables_first: int
    last: int | None = None
    tables: int = 0
    failed: bool = False


class Sent:
    """What earlier lives of a run have logged.

    file: of the notes. output_dir: where W&B's own folder is.
    """

    def __init__(self, file: Path, output_dir: Path) -> None:
        self._file = file
        self._mirror = output_dir / MIRROR
        known = (read_json(self._file) or {}).get("lives", [])
        self._lives = [Life(**life) for life in known]

    def before_offline(self, records: int) -> tuple[int, int]:
        """How many records and tables no folder needs to hold any more. A folder that a killed life
        left may lack its end, and is removed unless it was sent.

        records: that the run has.
        """
        kept: list[Life] = []
        for life in self._lives:
            if life.last is None and not life.failed:
                if life.folder is not None and self._remove(life.folder):
                    continue
                life.last, life.tables = max(life.first, records), life.tables_first
            kept.append(life)
        self._lives = kept
        if not kept:
            return 0, 0
        newest = kept[-1]
        if newest.failed or newest.last is None:
            return newest.first, newest.tables_first
        return newest.last, newest.tables

    def before_online(self) -> None:
        """The server says itself what it has; what waits in folders is logged again."""
        for life in self._lives:
            if life.folder is not None:
                self._remove(life.folder)
        self._lives = []

    def begin(self, folder: str | None, first: int, tables: int) -> None:
        """A life has begun that logs records from `first` on."""
        self._lives.append(Life(folder, first, tables))
        self._write()

    def left(self, last: int, tables: int) -> None:
        """It was left well."""
        if self._lives:
            self._lives[-1].last, self._lives[-1].tables = last, tables
            self._write()

    def failed(self) -> None:
        """It was dropped."""
        if not self._lives:
            return
        newest = self._lives[-1]
        if newest.folder is not None and self._remove(newest.folder):
            self._lives.pop()
        else:
            newest.failed = True
        self._write()

    def _write(self) -> None:
        value: dict[str, Any] = {"lives": [asdict(life) for life in self._lives]}
        write_json(self._file, value)

    def _remove(self, name: str) -> bool:
        """Remove a folder; False when it was sent, or is not there any more."""
        folder = self._mirror / name
        if not folder.is_dir() or list(folder.glob("*.wandb.sync*")):
            return False
        shutil.rmtree(folder, ignore_errors=True)
        return True
