"""What PP-OCR's line recogniser makes of pages: errors, digits among them, an interval."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.codec_pages import Box
from freqexp.nouns.page import Pixels
from freqexp.readers.recogniser import lines
from freqexp.results.intervals import Bounded, interval

FILE = "readings.jsonl"
_EDIT = 1 << 16


@dataclass(frozen=True)
class LineErrors:
    """Of one line. errors: edits that make what was drawn of what was read.

    digits: drawn. digits_wrong: those read as another digit.
    """

    characters: int
    errors: int
    digits: int
    digits_wrong: int


class Readings:
    """Reads lines; the same pixels are read once, also by the next run with this folder."""

    def __init__(self, folder: Path) -> None:
        """Texts of other pixels, recognisers or releases of onnxruntime are never taken."""
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / FILE
        self._reader = hashlib.blake2b(lines.model_path().read_bytes(), digest_size=16)
        self._reader.update(Path(lines.__file__).read_bytes())
        self._reader.update(importlib.metadata.version("onnxruntime").encode())
        self._known: dict[str, str] = {}
        if self._path.exists():
            text = self._path.read_text(encoding="utf-8")
            # A last line that was cut off is left out.
            for line in text[: text.rfind("\n") + 1].splitlines():
                self._known.update(json.loads(line))

    def errors(self, page: Pixels, boxes: Sequence[Box]) -> list[LineErrors]:
        """Of each line of a page."""
        return [line_errors(self.read(page[place]), text) for place, text in boxes]

    def read(self, line: Pixels) -> str:
        """The text of one line, uint8 [H, W]."""
        digest = self._reader.copy()
        digest.update(repr(line.shape).encode() + line.tobytes())
        key = digest.hexdigest()
        if key not in self._known:
            self._known[key] = lines.line_reader().read(line)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({key: self._known[key]}) + "\n")
        return self._known[key]


def line_errors(read: str, text: str) -> LineErrors:
    """Errors of a line that was read. Spaces don't count where columns are apart by several, which
    no reader can count.

    Of the shortest ways from one text to the other the one with most digits read as other digits
    counts.
    """
    between = "" if "  " in text.strip() else " "
    found, wanted = between.join(read.split()), between.join(text.split())
    digits = sum(map(str.isdigit, wanted))
    if found == wanted:
        return LineErrors(len(wanted), 0, digits, 0)
    # Levenshtein's table; a digit for a digit is a little cheaper than other edits.
    row = [_EDIT * n for n in range(len(wanted) + 1)]
    for i, a in enumerate(found, start=1):
        before, row[0] = row[0], _EDIT * i
        for j, b in enumerate(wanted, start=1):
            change = 0 if a == b else _EDIT - (a.isdigit() and b.isdigit())
            before, row[j] = row[j], min(row[j] + _EDIT, row[j - 1] + _EDIT, before + change)
    errors = -(-row[-1] // _EDIT)
    return LineErrors(len(wanted), errors, digits, errors * _EDIT - row[-1])


def error_interval(found: Sequence[LineErrors]) -> tuple[float, float]:
    """95 % interval of the character error rate, by resampling lines, as errors of a line come
    together (`freqexp.results.intervals`).

    A line that was not seen has at most as many errors as the worst that was, and at least one.
    Raises ValueError for fewer than two lines.
    """
    mean = sum(line.characters for line in found) / len(found)
    worst = max(1, *(line.errors for line in found))
    return interval(Bounded([line.errors / mean for line in found], 0.0, worst / mean))
