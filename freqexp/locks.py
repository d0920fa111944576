"""Locks on files: held by one process at a time, and gone with it however it ends.

The operating system's where the file system has them. Where it has none, a file beside the locked
one says who holds it: host, process and when that began. Its holder touches it again and again, so
that one whose machine has died is seen by all that share the folder.
"""

from __future__ import annotations

import errno
import fcntl
import json
import math
import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from freqexp.errors import UserError

BEAT_SECONDS = 15.0
STALE_SECONDS = 90.0
POLL_SECONDS = 0.5
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL)


class HeldError(UserError):
    """Another process holds the lock."""


def lock_file(path: Path) -> Path:
    """What says who holds `path` where the file system has no locks."""
    return path.with_name(f".{path.name}.lock")


class Lock:
    """The lock on an open file.

    path: its name. descriptor: open for writing; closing it also unlocks where the file system has
    locks. Nothing is locked before `take`.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor
        self._ended: threading.Event | None = None

    def take(self) -> None:
        """Raises HeldError, which names the holder if it is known, when another process has it."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise HeldError(f"{self._path} is held by another process") from None
            self._take_file()

    def release(self) -> None:
        """Let it go, if it was taken."""
        if self._ended is not None:
            self._ended.set()
            self._ended = None
            with suppress(OSError):
                lock_file(self._path).unlink()
        else:
            with suppress(OSError):
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def _take_file(self) -> None:
        file = lock_file(self._path)
        for _ in range(3):
            with suppress(FileExistsError):
                _write_new(file)
                self._ended = threading.Event()
                threading.Thread(target=_beat, args=(file, self._ended), daemon=True).start()
                return
            holder = _living_holder(file)
            if holder is not None:
                raise HeldError(f"{self._path} is held by another process ({holder})")
            _remove_stale(file)
        raise HeldError(f"{self._path} is taken by other processes at the same time")


def is_held(path: Path) -> bool:
    """Whether a living process holds `path`; False when there is no such file."""
    try:
        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in _NO_LOCKS:
                    return True
    except OSError:
        return False
    return has_lock_file(path)


def has_lock_file(path: Path) -> bool:
    """Whether a living process holds `path` where the file system has no locks."""
    return _living_holder(lock_file(path)) is not None


@contextmanager
def locked(path: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the file `path`, which is made if missing; wait while another process does.

    waiting: called once before it is waited. Raises UserError when the file can't be made.
    """
    told: list[bool] = []

    def check() -> None:
        if not told:
            told.append(True)
            waiting()

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from None
    lock = Lock(path, descriptor)
    try:
        wait_until_free(lock.take, check, math.inf)
        try:
            yield
        finally:
            lock.release()
    finally:
        os.close(descriptor)


def wait_until_free(attempt: Callable[[], Any], check: Callable[[], None], seconds: float) -> Any:
    """What `attempt` gives once it does not raise HeldError.

    check: called while waiting; may raise. Raises HeldError after `seconds`.
    """
    started = time.monotonic()
    while True:
        try:
            return attempt()
        except HeldError:
            if time.monotonic() - started >= seconds:
                raise
        check()
        time.sleep(POLL_SECONDS)


def _write_new(file: Path) -> None:
    """Raises FileExistsError when there is one, UserError when it can't be written."""
    said = {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "space": _space(),
        "began": _began(os.getpid()),
        "at": time.strftime("%Y-%m-%d %H:%M:%S"),
    }
    try:
        # Made under another name and linked: complete as soon as it is there, on NFS, too.
        with tempfile.NamedTemporaryFile("w", dir=file.parent, prefix=".lock-") as made:
            made.write(json.dumps(said))
            made.flush()
            try:
                os.link(made.name, file)
            except FileExistsError:
                raise
            except OSError:  # a file system without links
                with file.open("x") as opened:
                    opened.write(json.dumps(said))
    except FileExistsError:
        raise
    except OSError as error:
        raise UserError(f"cannot write {file}: {error.strerror}") from None


def _beat(file: Path, ended: threading.Event) -> None:
    while not ended.wait(BEAT_SECONDS):
        with suppress(OSError):
            os.utime(file)


def _living_holder(file: Path) -> str | None:
    """Who holds it, in words; None when nobody does, or the holder is dead."""
    try:
        said = json.loads(file.read_text())
        age = _age(file)
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return f"see {file}"
    pid, host = said["pid"], said["host"]
    if host == socket.gethostname() and said["space"] == _space():
        alive = _began(pid) is not None and _began(pid) == said["began"]
    else:
        alive = age < STALE_SECONDS
    return f"process {pid} on {host}, since {said['at']}" if alive else None


def _age(file: Path) -> float:
    """Seconds since a file was touched, by the clock of its file system."""
    with tempfile.NamedTemporaryFile(dir=file.parent, prefix=".clock-") as now:
        os.utime(now.name)
        return os.stat(now.name).st_mtime - file.stat().st_mtime


def _space() -> str:
    """What process ids are unique in: containers of one host can have ids of their own."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _began(pid: int) -> str | None:
    """When a process of this machine began, in ticks since it was started; None: there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None


def _remove_stale(file: Path) -> None:
    """Remove a dead holder's file; if it is another's by now it is put back."""
    aside = file.with_name(f"{file.name}.{os.getpid()}")
    with suppress(OSError):
        os.rename(file, aside)
        if _living_holder(aside) is not None:
            with suppress(OSError):
                os.link(aside, file)
        aside.unlink()
