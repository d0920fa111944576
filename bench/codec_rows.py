"""What the codec bench measured, in a CSV file that a later run goes on with."""

from __future__ import annotations

import csv
import hashlib
import importlib.metadata
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import freqexp
from bench import codec_pages, codec_quality, codec_reading, codec_texts
from bench.codec_pages import Amount
from freqexp.files import read_json, write_json
from freqexp.results.provenance import code_state

TABLE, ORIGIN = "table.csv", "table.json"
# Code and data that decide what is measured, in the package.
_MEASURED = ("coding", "codecs", "pages", "benchmarks", "models/codebooks", "models/priors")
_FILES = ("readers/recogniser/lines.py", "results/intervals.py")
_BENCH = (codec_pages, codec_texts, codec_reading, codec_quality)
_LIBRARIES = (
    *("constriction", "imagecodecs", "numpy", "onnxruntime", "pillow", "pyppmd", "rapidocr"),
    "scikit-image",
)


@dataclass(frozen=True)
class Row:
    """Means over the pages of one material, with one codec and setting.

    trained: see `Material`. bytes: of a page, share_bytes (of a codebook or prior) among them.
    errors: of all `characters` read, digits_wrong: of all `digits` drawn, those read as another.
    cer_low, cer_high: 95 % interval of the character error rate, percent.
    text_brotli_bytes: of the pages' text.
    """

    material: str
    trained: str
    codec: str
    setting: str
    pages: int
    bytes: float
    share_bytes: float
    psnr_db: float
    ssim: float
    characters: int
    errors: int
    cer_low: float
    cer_high: float
    digits: int
    digits_wrong: int
    encode_ms: float
    decode_ms: float
    text_brotli_bytes: float

    @property
    def cer_percent(self) -> float:
        """Character error rate."""
        return 100 * self.errors / self.characters

    @property
    def key(self) -> tuple[str, str, str]:
        """What is measured once."""
        return self.material, self.codec, self.setting


class Rows:
    """The rows of a folder; every new one is written at once."""

    def __init__(self, folder: Path, origin: Mapping[str, Any]) -> None:
        """Rows of the same origin are taken over, those of another one are put aside until a run of
        theirs comes back.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / TABLE
        before = (read_json(folder / ORIGIN) or {}).get("measured", "unknown")
        if before != origin["measured"] and self._path.exists():
            os.replace(self._path, folder / f"table.{before}.csv")
        aside = folder / f"table.{origin['measured']}.csv"
        if aside.exists():
            os.replace(aside, self._path)
        self.rows = load_rows(folder)
        if before != origin["measured"]:
            write_json(folder / ORIGIN, dict(origin))
        # Anew, without a line that was cut off.
        with self._path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, [field.name for field in fields(Row)])
            writer.writeheader()
            writer.writerows(asdict(row) for row in self.rows)
        self.keys = {row.key for row in self.rows}

    def add(self, row: Row) -> None:
        """Keep a row."""
        self.rows.append(row)
        self.keys.add(row.key)
        with self._path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, list(asdict(row))).writerow(asdict(row))


def load_rows(folder: Path) -> list[Row]:
    """The rows in a folder; a last line that was cut off is left out."""
    path = folder / TABLE
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1].splitlines()
    return [_row(record) for record in csv.DictReader(whole)]


def _row(record: Mapping[str, str]) -> Row:
    as_type: dict[str, Callable[[str], Any]] = {"str": str, "int": int, "float": float}
    values: dict[str, Any] = {f.name: as_type[str(f.type)](record[f.name]) for f in fields(Row)}
    return Row(**values)


def _version(library: str) -> str:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def origin(amount: Amount) -> dict[str, Any]:
    """Where rows come from: amount, commit, versions, and `measured`, a hash over all of it that
    can change a figure.
    """
    commit, dirty = code_state()
    versions = {name: _version(name) for name in _LIBRARIES}
    package = Path(freqexp.__file__).parent
    files = [package / name for name in _FILES]
    files += [Path(str(module.__file__)) for module in _BENCH]
    for folder in _MEASURED:
        files += sorted((package / folder).rglob("*.*"))
    digest = hashlib.sha256(repr((amount, versions)).encode())
    for file in files:
        if file.suffix in (".py", ".fqvq", ".fqxp"):
            digest.update(file.read_bytes())
    return {
        "measured": digest.hexdigest()[:12],
        "amount": asdict(amount),
        "commit": commit,
        "dirty": dirty,
        "versions": versions,
        "host_kind": f"cpu {platform.machine()}",
    }


def by_material(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The rows of each material, in their order."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.material, []).append(row)
    return found
