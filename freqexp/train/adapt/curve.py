"""The curve of a training: one line of JSON for each row, in a file and to whoever follows it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from freqexp.files import write_text

FILE = "curve.jsonl"
Row = Mapping[str, float]
Follower = Callable[[int, Row], None]


class Curve:
    """Rows of figures by name, each with its step.

    followers: told of every row, as it comes; of rows that were there before, too.
    """

    def __init__(self, folder: Path | None, followers: Sequence[Follower] = ()) -> None:
        """folder: where the file is; None: nothing is written."""
        self._path = None if folder is None else folder / FILE
        self._followers = followers
        self._rows: list[dict[str, float]] = []

    @property
    def rows(self) -> Sequence[Row]:
        """All rows so far."""
        return self._rows

    def resume(self, step: int) -> None:
        """Go on with the rows in the file up to a step; what came later will come again."""
        found = [] if self._path is None else read(self._path)
        for row in found:
            if row["step"] <= step:
                self._take(row)

    def add(self, step: int, row: Row) -> None:
        """Take a row and write the file. Raises UserError when it can't be written."""
        self._take({"step": step, **row})
        if self._path is not None:
            write_text(self._path, "".join(json.dumps(each) + "\n" for each in self._rows))

    def _take(self, row: dict[str, float]) -> None:
        self._rows.append(row)
        for follow in self._followers:
            follow(int(row["step"]), {name: row[name] for name in row if name != "step"})


def read(path: Path) -> list[dict[str, float]]:
    """The rows of a file; [] without one. Lines that are no rows are left out."""
    rows = []
    with suppress(OSError):
        for line in path.read_text(encoding="utf-8").splitlines():
            with suppress(ValueError):
                row = json.loads(line)
                if isinstance(row, dict) and "step" in row:
                    rows.append(row)
    return rows
