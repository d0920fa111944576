"""Rows of Parquet, JSON and JSON Lines files, with errors that name the file."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from freqexp.errors import UserError, fault

SUFFIXES = (".parquet", ".json", ".jsonl")
FIELD = "needles.path"

Row = dict[str, Any]


def data_files(path: str | Path, needles: int | None = None) -> list[Path]:
    """The files to read: `path` itself, or a folder's `{needles}needle*` files, or all its data
    files without such; all of them, too, with needles=None.

    Folders are searched with their sub-folders but for hidden ones, such as .ipynb_checkpoints,
    files sorted by relative path. Raises UserError for
    a path that is missing, has another extension, or a folder without data files.
    """
    allowed = "a " + ", ".join(SUFFIXES) + " file or a folder of them"
    found = Path(path).expanduser()
    try:
        is_folder, exists = found.is_dir(), found.exists()
    except OSError as error:
        raise UserError(fault(FIELD, str(path), f"{allowed}; {error.strerror}")) from error
    if is_folder:
        files = sorted(
            file
            for file in found.rglob("*")
            if file.suffix.lower() in SUFFIXES and file.is_file() and not _is_hidden(file, found)
        )
        if not files:
            raise UserError(fault(FIELD, str(path), f"{allowed}; this folder holds none"))
        named = [f for f in files if f.name.startswith(f"{needles}needle")]
        return named or files
    if not exists:
        raise UserError(fault(FIELD, str(path), f"{allowed}; it does not exist"))
    if found.suffix.lower() not in SUFFIXES:
        raise UserError(fault(FIELD, str(path), allowed))
    return [found]


def _is_hidden(file: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in file.relative_to(folder).parts)


@functools.lru_cache(maxsize=64)
def _content_hash(file: str, size_bytes: int, modified_ns: int) -> str:
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def content_hash(file: Path) -> str:
    """SHA-256 of a file's content, hex; remembered while its size and time of change stay."""
    try:
        stat = file.stat()
        return _content_hash(str(file), stat.st_size, stat.st_mtime_ns)
    except OSError as error:
        raise UserError(f"{file}: can't be read: {error.strerror}") from error


def read_rows(
    file: Path,
    required: Sequence[str],
    columns: Sequence[str],
    wanted: Collection[int] | None = None,
) -> Iterator[tuple[int, Row]]:
    """(row number from 0, those of `columns` it has) of each row, or of the `wanted` rows.

    Raises UserError when the file can't be read, is empty or lacks a required column.
    """
    try:
        if file.stat().st_size == 0:
            raise UserError(f"{file}: the file is empty")
    except OSError as error:
        raise UserError(f"{file}: can't be read: {error.strerror}") from error
    if file.suffix.lower() == ".parquet":
        yield from _read_parquet(file, required, columns, wanted)
    else:
        yield from _read_json(file, required, columns, wanted)


def _check_columns(where: str, required: Sequence[str], found: Collection[str]) -> None:
    missing = [name for name in required if name not in found]
    if missing:
        raise UserError(
            f"{where}: column{'s' * (len(missing) > 1)} {', '.join(missing)} missing;"
            f" found: {', '.join(found) or 'none'}"
        )


def _read_parquet(
    file: Path, required: Sequence[str], columns: Sequence[str], wanted: Collection[int] | None
) -> Iterator[tuple[int, Row]]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise UserError(f"{file}: reading Parquet needs pyarrow: pip install pyarrow") from error
    try:
        with pq.ParquetFile(file) as table:
            present = table.schema_arrow.names
            _check_columns(str(file), required, present)
            if table.metadata.num_rows == 0:
                raise UserError(f"{file}: the file holds no rows")
            columns = [name for name in columns if name in present]
            start = 0
            for batch in table.iter_batches(batch_size=16, columns=columns):
                for offset in range(batch.num_rows):
                    if wanted is None or start + offset in wanted:
                        yield (
                            start + offset,
                            {name: batch.column(name)[offset].as_py() for name in columns},
                        )
                start += batch.num_rows
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{file}: can't be read as Parquet: {error}") from error


def _read_json(
    file: Path, required: Sequence[str], columns: Sequence[str], wanted: Collection[int] | None
) -> Iterator[tuple[int, Row]]:
    rows = _json_rows(file)
    if not rows:
        raise UserError(f"{file}: the file holds no rows")
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise UserError(f"{file}: row {number}: got {type(row).__name__}, allowed: an object")
        if wanted is None or number in wanted:
            _check_columns(f"{file}: row {number}", required, row)
            yield number, {name: row[name] for name in columns if name in row}


def _json_rows(file: Path) -> list[Any]:
    """The rows of a JSON list, or of JSON Lines (many tools write those into .json files too)."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"{file}: can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{file}: not UTF-8 text: {error.reason} at byte {error.start}") from error
    if text.lstrip().startswith("["):
        try:
            parsed = json.loads(text)
        except ValueError as error:
            raise UserError(f"{file}: not JSON: {error}") from error
        return list(parsed)
    rows = []
    # Not splitlines(): JSON text may hold U+2028 and its kin unescaped.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                rows.append(json.loads(line))
            except ValueError as error:
                raise UserError(f"{file}: line {number}: not JSON: {error}") from error
    return rows
