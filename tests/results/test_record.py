from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freqexp.errors import UserError
from freqexp.results.record import Record, mean, parse_record, settle
from freqexp.results.record_file import Records, load_records


def scored(name: str, score: float = 0.5) -> Record:
    return Record(sample_id=name, needles=2, bucket="", expected="é – 'x'\n", score=score)


def failed(name: str, error: str = "broke") -> Record:
    return Record(sample_id=name, needles=2, bucket="", expected="x", error=error)


def lines(*records: Record) -> bytes:
    return b"".join(json.dumps(asdict(record)).encode() + b"\n" for record in records)


def test_records_come_back_as_they_were_written(tmp_path: Path) -> None:
    written = [scored("a"), failed("b"), scored("c", 1.0)]
    with Records(tmp_path / "new" / "r.jsonl") as store:
        for record in written:
            store.append(record)
    assert load_records(tmp_path / "new" / "r.jsonl") == written
    with Records(tmp_path / "new" / "r.jsonl") as store:
        assert store.records == written


def test_a_record_is_in_the_file_as_soon_as_append_returns(tmp_path: Path) -> None:
    with Records(tmp_path / "r.jsonl") as store:
        store.append(scored("a"))
        assert load_records(tmp_path / "r.jsonl") == [scored("a")]


@given(cut=st.integers(min_value=0))
def test_a_file_cut_anywhere_keeps_its_whole_lines(
    cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    written = [scored("a"), failed("b"), scored("c")]
    whole = lines(*written)
    data = whole[: cut % (len(whole) + 1)]
    path = tmp_path_factory.mktemp("cut") / "r.jsonl"
    path.write_bytes(data)
    # A line that lost nothing but its newline is whole, too.
    ends = [len(lines(*written[:count])) for count in range(4)]
    kept = written[: sum(end - 1 <= len(data) for end in ends[1:])]
    assert load_records(path) == kept
    assert path.read_bytes() == data
    with Records(path) as store:
        assert store.records == kept
        store.append(scored("new"))
    assert path.read_bytes() == lines(*kept, scored("new"))


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"{half a line", "not a record"),
        (b"", "not a record"),
        (b"\xff\xfe", "not a record"),
        (b"[1]", "not a JSON object"),
        (b'{"sample_id": "x"}', "field needles is missing"),
        (lines(scored("b")).strip().replace(b'"score": 0.5', b'"score": NaN'), "NaN is not JSON"),
        (lines(scored("b")).strip().replace(b'"score": 0.5', b'"score": 1.5'), "outside"),
        (lines(scored("b")).strip().replace(b'"score": 0.5', b'"score": "1"'), "wrong type"),
        (lines(scored("b")).strip().replace(b'"score": 0.5', b'"score": null'), "exactly one"),
    ],
)
@pytest.mark.parametrize("last", [True, False])
def test_a_corrupt_line_is_named_and_nothing_is_changed(
    bad: bytes, reason: str, last: bool, tmp_path: Path
) -> None:
    path = tmp_path / "r.jsonl"
    data = lines(scored("a")) + bad + b"\n" + (b"" if last else lines(scored("c")))
    path.write_bytes(data)
    for attempt in (lambda: load_records(path), lambda: Records(path).__enter__()):
        with pytest.raises(UserError, match=f"{path}, line 2: .*{reason}"):
            attempt()
    assert path.read_bytes() == data


def test_a_bucket_of_an_estimated_length_is_read() -> None:
    """Earlier versions marked one where the tokenizer's table was missing."""
    line = json.dumps({**asdict(scored("a")), "bucket": "~4096-8192"})
    assert parse_record(line).bucket == "~4096-8192"


def test_fields_of_other_versions_are_no_fault() -> None:
    value = {**asdict(scored("a")), "later": 1}
    del value["peak_memory_bytes"]
    value["score"] = 1
    assert parse_record(json.dumps(value)) == scored("a", 1)


def test_a_second_process_is_refused_until_the_first_dies(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    code = (
        "import sys; from pathlib import Path; from freqexp.results.record_file import Records\n"
        "with Records(Path(sys.argv[1])): print('locked', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        with pytest.raises(UserError, match=f"another process is working on this run .{tmp_path}"):
            Records(path).__enter__()
        other.kill()
        other.wait()
        with Records(path) as store:
            assert store.records == []


def test_locks_that_the_file_system_lacks_do_not_stop_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr("fcntl.flock", no_locks)
    with Records(tmp_path / "r.jsonl") as store:
        store.append(scored("a"))
    assert load_records(tmp_path / "r.jsonl") == [scored("a")]


def test_a_full_disk_leaves_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "r.jsonl"
    write = os.write
    with Records(path) as store:
        store.append(scored("a"))
        monkeypatch.setattr("os.write", lambda descriptor, data: write(descriptor, data[:7]))
        with pytest.raises(UserError, match=r"cannot write .*No space left"):
            store.append(scored("b"))
        monkeypatch.undo()
        assert store.records == [scored("a")]
        store.append(scored("c"))
    assert load_records(path) == [scored("a"), scored("c")]


def test_a_folder_that_is_a_file_is_a_clear_message(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write .*r\.jsonl: "):
        Records(tmp_path / "file" / "r.jsonl").__enter__()


def test_the_first_score_counts_and_any_score_beats_a_failure() -> None:
    found = settle(
        [failed("b", "1"), scored("a", 0.1), scored("a", 0.2), failed("b", "2"), failed("a")]
    )
    assert list(found.items()) == [("a", scored("a", 0.1)), ("b", failed("b", "2"))]
    assert settle([failed("a"), scored("a"), failed("a")]) == {"a": scored("a")}


def test_a_mean_is_of_what_was_measured() -> None:
    assert mean([None, 1, 2.0, None]) == 1.5
    assert mean([None]) is None
    assert mean([0, None]) == 0.0
