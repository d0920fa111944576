"""Locks, also where the file system has none."""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from freqexp import locks
from freqexp.locks import HeldError, Lock, is_held, lock_file, locked
from freqexp.results.record_file import Records


@pytest.fixture(params=[errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def no_flock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: Any) -> None:
        raise OSError(request.param, "no locks here")

    monkeypatch.setattr("fcntl.flock", none)


def write_holder(path: Path, **said: Any) -> None:
    """A lock file as another process leaves it."""
    holder = {"host": socket.gethostname(), "pid": 1, "space": locks._space(), "began": "7"}
    lock_file(path).write_text(json.dumps({**holder, "at": "2026-11-27 10:00:00", **said}))


def test_two_runs_never_append_to_one_file(no_flock: None, tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    with Records(path):
        assert is_held(path)
        with pytest.raises(HeldError, match=rf"process {os.getpid()} on {socket.gethostname()}"):
            Records(path).__enter__()
    assert not is_held(path)
    assert [file.name for file in tmp_path.iterdir()] == ["records.jsonl"]
    with Records(path):
        pass


def test_the_lock_of_a_dead_process_is_taken_over(no_flock: None, tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    write_holder(path, pid=gone.pid)
    with Records(path):
        assert json.loads(lock_file(path).read_text())["pid"] == os.getpid()
    # The number of a process that lives, but began at another time.
    write_holder(path, pid=os.getppid(), began="1")
    with Records(path):
        pass


@pytest.mark.parametrize("said", [{"host": "node17"}, {"space": "pid:[1]"}])
def test_a_holder_elsewhere_lives_as_long_as_it_touches_its_file(
    said: dict[str, str], no_flock: None, tmp_path: Path
) -> None:
    path = tmp_path / "records.jsonl"
    write_holder(path, **said)
    with pytest.raises(HeldError, match=r"process 1 on .*, since 2026-11-27"):
        Records(path).__enter__()
    past = time.time() - locks.STALE_SECONDS - 5
    os.utime(lock_file(path), (past, past))
    with Records(path):
        assert is_held(path)


def test_a_holder_touches_its_file(
    no_flock: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "BEAT_SECONDS", 0.01)
    path = tmp_path / "records.jsonl"
    with Records(path):
        os.utime(lock_file(path), (1, 1))
        until = time.monotonic() + 10
        while lock_file(path).stat().st_mtime < 2:
            assert time.monotonic() < until
            time.sleep(0.01)


def test_a_file_that_says_nothing_is_somebodys(no_flock: None, tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    lock_file(path).write_text("torn")
    with pytest.raises(HeldError, match=f"see {lock_file(path)}"):
        Records(path).__enter__()


def test_what_cannot_be_locked_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(locks.UserError, match="cannot write"),
        locked(tmp_path / "file" / "x", lambda: None),
    ):
        pass


def test_a_lock_is_free_again(tmp_path: Path) -> None:
    told: list[str] = []
    for _ in range(2):
        with locked(tmp_path / "new" / "lock", lambda: told.append("waits")):
            file = tmp_path / "new" / "lock"
            with file.open("r+") as opened, pytest.raises(HeldError):
                Lock(file, opened.fileno()).take()
    assert told == []
    assert not is_held(tmp_path / "none")
