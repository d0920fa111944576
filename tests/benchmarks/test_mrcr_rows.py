"""A sample in two files is refused, by the names of both."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mrcr_data import POEMS, WRITERS, messages, row, write_json, write_jsonl, write_parquet

from freqexp.benchmarks import mrcr_rows
from freqexp.benchmarks.mrcr import load_mrcr
from freqexp.benchmarks.mrcr_rows import matching
from freqexp.errors import UserError

REFUSED = r"needles\.path: got the same sample in .*{} row {} and .*{} row {}{}, allowed: a sample"


def refused(
    folder: Path, one: str, row_of_one: int, other: str, row_of_other: int, more: str = ""
) -> None:
    message = REFUSED.format(one, row_of_one, other, row_of_other, more)
    for limit in (None, 1):  # also where the copies are not among those drawn
        with pytest.raises(UserError, match=message):
            load_mrcr(folder, 2, limit=limit)


def test_parquet_beside_json_lines(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "2needle.jsonl", [row(n) for n in range(5)])
    write_parquet(tmp_path / "2needle.parquet", [row(n) for n in (7, 3, 4)])
    refused(tmp_path, r"2needle\.jsonl", 3, r"2needle\.parquet", 1, ", 2 such pairs in these files")
    assert len(load_mrcr(tmp_path / "2needle.jsonl", 2)) == 5


def test_the_prompt_may_be_written_in_another_way(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", [row(0)])
    write_json(tmp_path / "b.json", [row(0, prompt=json.loads(row(0)["prompt"]), date_added=None)])
    refused(tmp_path, r"a\.json", 0, r"b\.json", 0)


def corrected(number: int) -> dict[str, Any]:
    """Another revision of a row: a needle less."""
    told = json.loads(row(number)["prompt"])
    return row(number, prompt=json.dumps([told[0], *told[3:]]))


def test_two_revisions_of_a_file(tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.mkdir()
    write_parquet(tmp_path / "2needle_0.parquet", [row(0), corrected(1)])
    write_parquet(old / "2needle_0.parquet", [row(2), row(1)])
    refused(tmp_path, r"/2needle_0\.parquet", 1, r"old/2needle_0\.parquet", 1)


def test_a_revision_with_another_answer_asks_the_same(tmp_path: Path) -> None:
    prefix = row(1)["random_string_to_prepend"]
    write_jsonl(tmp_path / "a.jsonl", [row(0), row(1)])
    write_jsonl(tmp_path / "b.jsonl", [row(1, answer=prefix + POEMS[0])])
    refused(tmp_path, r"a\.jsonl", 1, r"b\.jsonl", 0)


def test_a_link_is_a_second_file(tmp_path: Path) -> None:
    (tmp_path / "b.json").symlink_to(write_json(tmp_path / "a.json", [row(0)]))
    refused(tmp_path, r"a\.json", 0, r"b\.json", 0)


def constant(number: int, file: str) -> dict[str, Any]:
    """A row whose prefix is that of every other, of a file of its own."""
    prompt = messages("PREFIX", f"What falls? {file} {number}")
    answer = f"PREFIX{file} {number}"
    prompt[2]["content"] = answer.removeprefix("PREFIX")
    return row(prompt=prompt, answer=answer, random_string_to_prepend="PREFIX")


SOUND: dict[str, tuple[Callable[[int], dict[str, Any]], Callable[[int], dict[str, Any]]]] = {
    "shards": (row, lambda number: row(number + 10)),
    "a prefix that is no random one": (
        lambda number: constant(number, "a"),
        lambda number: constant(number, "b"),
    ),
    "other needles": (row, lambda number: row(number, needles=4)),
    "a prefix drawn twice": (
        row,
        lambda number: row(
            number, answer=row(number)["answer"][:10] + "x", prompt=other_question()
        ),
    ),
}


def other_question() -> list[dict[str, str]]:
    return [*messages("x")[:-1], {"role": "user", "content": "The first poem, please."}]


@pytest.mark.parametrize("case", SOUND)
def test_files_of_different_samples_are_read_together(case: str, tmp_path: Path) -> None:
    one, other = SOUND[case]
    write_json(tmp_path / "a.json", [one(n) for n in range(3)])
    write_json(tmp_path / "b.json", [other(n) for n in range(3)])
    both = 3 if case == "other needles" else 6
    assert len(load_mrcr(tmp_path, 2)) == both


def test_one_file_may_hold_a_sample_twice(tmp_path: Path) -> None:
    again = tmp_path / "again"
    again.mkdir()
    write_json(again / "a.json", [row(0), row(0)])
    write_json(again / "b.json", [SOUND["a prefix drawn twice"][1](0)])
    assert len(load_mrcr(again, 2)) == 3
    path = write_json(tmp_path / "a.json", [row(0), row(0), constant(0, "a"), constant(0, "a")])
    assert len(load_mrcr(path, 2)) == 4


@pytest.mark.parametrize("suffix", WRITERS)
def test_rows_are_read_once_while_their_file_stays_the_same(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = WRITERS[suffix](tmp_path / f"x{suffix}", [row(0)])
    reads = []
    read_rows = mrcr_rows.read_rows
    monkeypatch.setattr(mrcr_rows, "read_rows", lambda *a: reads.append(a) or read_rows(*a))
    assert matching([path], 2) == matching([path], 2) == [(path, 0)]
    assert len(reads) == 1
    matching([path], 2).clear()  # a list of one's own
    WRITERS[suffix](path, [row(0), row(1)])
    assert matching([path], 2) == [(path, 0), (path, 1)]


def test_hidden_folders_hold_no_data(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "2needle.jsonl", [row(n) for n in range(3)])
    for hidden in (".ipynb_checkpoints", ".cache/deeper"):
        folder = tmp_path / hidden
        folder.mkdir(parents=True)
        write_jsonl(folder / "2needle-checkpoint.jsonl", [row(n) for n in range(3)])
    assert len(load_mrcr(tmp_path, 2)) == 3
    # What is pointed to is read, hidden or not.
    assert len(load_mrcr(tmp_path / ".cache", 2)) == 3


def test_a_count_may_be_written_as_text(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", [row(0, n_needles="2"), row(1)])
    assert len(load_mrcr(tmp_path, 2)) == 2
    for count in ("two", "2.5", "-2", "", "\u00b2"):
        write_jsonl(tmp_path / "a.jsonl", [row(0, n_needles=count)])
        with pytest.raises(UserError, match="n_needles: got "):
            load_mrcr(tmp_path, 2)
