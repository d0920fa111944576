"""A command that says what MRCR files hold and what is wrong in them.

python -m freqexp.benchmarks.check MRCR_FOLDER
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from freqexp.benchmarks.faults import FAULTS, faults_of
from freqexp.benchmarks.lengths import BUCKETS
from freqexp.benchmarks.mrcr import parse_row
from freqexp.benchmarks.mrcr_rows import COLUMNS, Key, needles_of, place, refuse_copies
from freqexp.benchmarks.rowfile import content_hash, data_files, read_rows
from freqexp.errors import DONE, FAILED, UserError, exit_code
from freqexp.nouns.sample import Sample

SHOWN = 10
UNREADABLE = "unreadable"

_Answers = dict[Key, tuple[str, str]]
_Group = tuple[int, str]


def check(path: str, most: int | None) -> bool:
    """Print the rows of a file or folder by needles and bucket, and their faults; whether there are
    none.

    most: so many faulty rows of each file are named; None: all. Raises UserError for a file that
    can't be read at all.
    """
    answers: dict[int, _Answers] = {}
    sound = all([_check_file(file, answers, most) for file in data_files(path)])
    for held in answers.values():
        try:
            refuse_copies(held)
        except UserError as error:
            print(error)
            sound = False
    return sound


def _check_file(file: Path, answers: dict[int, _Answers], most: int | None) -> bool:
    """`check` of one file.

    answers: prefix and answer of each row by needle count; this file's are added.
    """
    said: list[tuple[int, str]] = []
    kept: list[int] = []

    def samples() -> Iterator[Sample]:
        for number, row in read_rows(file, COLUMNS, COLUMNS):
            key = file, number
            try:
                needles = needles_of(place(key), row)
                sample = parse_row(key, row)
            except UserError as error:
                said.append((number, f"{UNREADABLE}: {str(error).removeprefix(f'{place(key)}: ')}"))
                continue
            kept.append(number)
            answers.setdefault(needles, {})[key] = sample.prefix, sample.answer
            yield sample

    held: Counter[_Group] = Counter()
    counts: Counter[tuple[_Group, str]] = Counter()
    for sample, faults in faults_of(samples()):
        group = sample.needles, sample.bucket
        held[group] += 1
        counts.update((group, name) for name in faults)
        said += [(kept[-1], f"{name}: {found}") for name, found in faults.items()]
    unreadable = sum(text.startswith(UNREADABLE) for _, text in said)
    print(f"{file}: {len(kept) + unreadable} rows, sha256 {content_hash(file)}")
    print(_table(held, counts))
    for number, text in sorted(said)[:most]:
        print(f"  row {number}: {text}")
    if most is not None and len(said) > most:
        print(f"  and {len(said) - most} more: --all names them")
    return not said


def _table(held: Counter[_Group], counts: Counter[tuple[_Group, str]]) -> str:
    """A line for each needle count and bucket."""
    lines = [("needles", "bucket", "rows", *FAULTS)]
    order = {name: number for number, name in enumerate(BUCKETS)}
    for group in sorted(held, key=lambda each: (each[0], order.get(each[1], -1))):
        numbers = (held[group], *(counts[group, name] for name in FAULTS))
        lines.append((str(group[0]), group[1] or "none", *map(str, numbers)))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  " + "  ".join(text.rjust(width) for text, width in zip(line, widths, strict=True))
        for line in lines
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code: 1 where something is wrong in the files."""
    meanings = "; ".join(f"{name}: {meaning}" for name, meaning in FAULTS.items())
    parser = argparse.ArgumentParser(
        prog="python -m freqexp.benchmarks.check",
        description="Say what MRCR files hold, and what is wrong in them.",
        epilog=f"{meanings}; {UNREADABLE}: a run refuses the row. Rows count from 0.",
    )
    parser.add_argument("path", help="a .parquet, .json or .jsonl file, or a folder of them")
    parser.add_argument("--all", action="store_true", help=f"name every faulty row, not {SHOWN}")
    options = parser.parse_args(arguments)
    return exit_code(
        lambda: DONE if check(options.path, None if options.all else SHOWN) else FAILED,
        parser.prog,
    )


if __name__ == "__main__":
    sys.exit(main())
