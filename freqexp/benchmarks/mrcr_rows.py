"""The rows of MRCR files: their short columns checked, and no sample in two files."""

from __future__ import annotations

import functools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from freqexp.benchmarks.messages import read_messages
from freqexp.benchmarks.rowfile import FIELD, Row, read_rows
from freqexp.errors import UserError, fault

SMALL_COLUMNS = ("answer", "random_string_to_prepend", "n_needles")
COLUMNS = ("prompt", *SMALL_COLUMNS)

Key = tuple[Path, int]


def place(key: Key) -> str:
    """How a row is named in messages; rows count from 0."""
    return f"{key[0]}: row {key[1]}"


def matching(files: Sequence[Path], count: int) -> list[Key]:
    """Every row with `count` needles; the short columns of all rows are checked on the way.

    Read once a process while the files' sizes and times of change stay. Raises UserError for a
    file or row that can't be used, when no row has so many needles, and for a sample that stands
    in two files.
    """
    return list(_matching(tuple((file, *_state(file)) for file in files), count))


def rows(keys: Sequence[Key]) -> Iterator[tuple[Key, Row]]:
    """All columns of the rows named by `keys`, in the files' order."""
    for file in dict.fromkeys(file for file, _ in keys):
        wanted = {number for other, number in keys if other == file}
        for number, row in read_rows(file, COLUMNS, COLUMNS, wanted):
            yield (file, number), row


def needles_of(where: str, row: Row) -> int:
    """The row's needle count. Raises UserError when prefix, answer or count can't be used."""
    prefix, answer, needles = (
        row[name] for name in ("random_string_to_prepend", "answer", "n_needles")
    )
    if not isinstance(prefix, str) or not prefix:
        raise UserError(f"{where}: random_string_to_prepend: got {prefix!r}, allowed: a prefix")
    if not isinstance(answer, str) or not answer.startswith(prefix):
        shown = answer[:40] if isinstance(answer, str) else answer
        raise UserError(
            f"{where}: answer: got {shown!r}, allowed: text that starts with {prefix!r}"
        )
    if isinstance(needles, str) and needles.isascii() and needles.isdigit():
        needles = int(needles)
    if isinstance(needles, bool) or not isinstance(needles, int | float) or needles % 1 != 0:
        raise UserError(f"{where}: n_needles: got {needles!r}, allowed: a whole number")
    return int(needles)


def _state(file: Path) -> tuple[int, int]:
    try:
        stat = file.stat()
    except OSError as error:
        raise UserError(f"{file}: can't be read: {error.strerror}") from error
    return stat.st_size, stat.st_mtime_ns


@functools.lru_cache(maxsize=8)
def _matching(files: Sequence[tuple[Path, int, int]], count: int) -> Sequence[Key]:
    seen: Counter[int] = Counter()
    answers: dict[Key, tuple[str, str]] = {}
    for file, *_ in files:
        for number, row in read_rows(file, COLUMNS, SMALL_COLUMNS):
            needles = needles_of(place((file, number)), row)
            seen[needles] += 1
            if needles == count:
                answers[file, number] = (row["random_string_to_prepend"], row["answer"])
    if not answers:
        held = ", ".join(f"{key} ({number} samples)" for key, number in sorted(seen.items()))
        raise UserError(fault("needles.count", count, f"{held} (what {files[0][0]} holds)"))
    refuse_copies(answers)
    return tuple(answers)


def refuse_copies(answers: Mapping[Key, tuple[str, str]]) -> None:
    """Raise UserError when a sample stands in two files, such as Parquet beside JSON Lines, or an
    old and a new revision.

    answers: prefix and answer of each row. The prefix is random: where two files share it, the
    answer or the question decides. One that several rows of a file have says nothing, there the
    answers must be equal.
    """
    groups: defaultdict[str, list[Key]] = defaultdict(list)
    for key, (prefix, _) in answers.items():
        groups[prefix].append(key)
    shared = [keys for keys in groups.values() if len({file for file, _ in keys}) > 1]
    copies = [pair for keys in shared for pair in _pairs(keys, lambda key: answers[key][1])]
    if not copies:
        drawn = [keys for keys in shared if len({file for file, _ in keys}) == len(keys)]
        asked = {key: _question(key, row) for key, row in rows([k for ks in drawn for k in ks])}
        copies = [pair for keys in drawn for pair in _pairs(keys, asked.__getitem__)]
    if not copies:
        return
    one, other = copies[0]
    number = sum((a[0], b[0]) == (one[0], other[0]) for a, b in copies)
    allowed = (
        "a sample once. Point to one of the files, or move the other one (another format, an"
        " earlier revision) out of the folder"
    )
    got = f"{one[0]} row {one[1]} and {other[0]} row {other[1]}"
    more = f", {number} such pairs in these files" if number > 1 else ""
    raise UserError(f"{FIELD}: got the same sample in {got}{more}, allowed: {allowed}")


def _pairs(keys: Sequence[Key], said: Callable[[Key], str]) -> Iterator[tuple[Key, Key]]:
    """Rows of different files that say the same."""
    first: dict[str, Key] = {}
    for key in keys:
        earlier = first.setdefault(said(key), key)
        if earlier[0] != key[0]:
            yield earlier, key


def _question(key: Key, row: Row) -> str:
    return read_messages(place(key), row["prompt"])[-1][1]
