"""The command that says what MRCR files hold."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from mrcr_data import REQUEST, messages, row, write_json, write_jsonl, write_parquet

from freqexp.benchmarks.check import main
from freqexp.benchmarks.generate import generate, save
from freqexp.benchmarks.rowfile import content_hash


def test_a_sound_file_is_counted_by_needles_and_bucket(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.json"
    long = generate(4, 2, 0, "long", target_chars=24_000)
    save([*generate(2, 3, 0, "short"), *long, *generate(4, 1, 0, "short")], path)
    assert main([str(path)]) == 0
    assert capsys.readouterr().out == (
        f"{path}: 6 rows, sha256 {content_hash(path)}\n"
        "  needles     bucket  rows  no_reply  other_count  other_place  repeated\n"
        "        2       none     3         0            0            0         0\n"
        "        4       none     1         0            0            0         0\n"
        "        4  4096-8192     2         0            0            0         0\n"
    )


def test_faults_are_named_row_by_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shorter = json.loads(row(3)["prompt"])[:-1]
    late = messages("aB3dE6gH04")
    late[1]["content"] = "write a joke"
    rows = [row(0), row(1, needles=4), row(0), row(3, prompt=shorter), row(4, prompt=late)]
    path = write_jsonl(tmp_path / "x.jsonl", [*rows, row(5, answer="x")])
    assert main([str(path)]) == 1
    head, *table, one, two, three, four, five, six = capsys.readouterr().out.splitlines()
    assert head.startswith(f"{path}: 6 rows, ")
    assert [line.split() for line in table[1:]] == [
        ["2", "none", "3", "0", "1", "1", "1"],
        ["4", "none", "1", "0", "1", "0", "0"],
    ]
    assert one == f"  row 1: other_count: '{REQUEST}' is asked 2 times, n_needles says 4"
    assert two == "  row 2: repeated: the same sample stands before it in the data"
    assert three.startswith("  row 3: unreadable: prompt: got 7 messages, the last of them")
    assert four.startswith("  row 4: other_count: ")
    assert five.startswith("  row 4: other_place: the wanted reply is number 1, asked for is numbe")
    assert six.startswith("  row 5: unreadable: answer: got 'x', allowed: text that starts with")


def test_ten_faulty_rows_are_named_or_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_parquet(tmp_path / "x.parquet", [row(n, needles=4) for n in range(12)])
    assert main([str(path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert (len(lines), lines[-1]) == (14, "  and 2 more: --all names them")
    assert main(["--all", str(path)]) == 1
    assert len(capsys.readouterr().out.splitlines()) == 15


def test_files_of_a_folder_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_json(tmp_path / "2needle.json", [row(0)])
    write_json(tmp_path / "4needle.json", [row(1, needles=2)])
    assert main([str(tmp_path)]) == 0
    write_parquet(tmp_path / "2needle.parquet", [row(1)])
    assert main([str(tmp_path)]) == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("needles.path: got the same sample in")
    assert "2needle.parquet row 0 and" in last


def test_a_file_that_cannot_be_read_ends_it(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text("{")
    command = [sys.executable, "-m", "freqexp.benchmarks.check", str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "x.jsonl: line 1: not JSON" in done.stderr
    assert "Traceback" not in done.stderr
