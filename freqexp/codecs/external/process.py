"""One call of a program: bytes in a file, bytes of the file that it wrote."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from freqexp.coding.bitstream import MAX_SAMPLES
from freqexp.errors import UserError, fault

MAX_BYTES = 1024 + 4 * MAX_SAMPLES
"""Longest file that is read: no picture or bitstream of a page takes more."""

_SHOWN = 300
_TAIL_BYTES = 1 << 16


@dataclass(frozen=True)
class Program:
    """A command, each call of which is a process of its own.

    field, shown: what faults call it. words: the program and its arguments, with placeholders.
    quality: what stands for {quality}. timeout: seconds. suffixes: of the names of the files that
    are read and written. environment: changes of this process's.

    The files are in a folder of this call alone, and so is what the program puts into TMPDIR; it is
    gone afterwards, whatever happens. The program starts in the folder that this process is in.
    """

    field: str
    shown: str
    words: tuple[str, ...]
    timeout: float
    suffixes: tuple[str, str] = (".bin", ".bin")
    quality: str | None = None
    environment: Mapping[str, str] | None = None

    def __call__(self, data: bytes) -> bytes:
        """What the program writes when it reads `data`.

        Raises UserError when it can't be started, ends with another status than 0, takes too long
        (it and all that it started are killed), or writes no file, an empty or an endless one.
        """
        try:
            with tempfile.TemporaryDirectory(prefix="freqexp-", ignore_cleanup_errors=True) as name:
                folder = Path(name)
                source = folder / f"input{self.suffixes[0]}"
                target = folder / f"output{self.suffixes[1]}"
                source.write_bytes(data)
                self._run(folder, source, target)
                return self._written(target)
        except OSError as error:
            why = f"{error.strerror or error}: {error.filename or tempfile.gettempdir()}"
            raise self.refused("a program whose files can be written and read", why) from error

    def refused(self, allowed: str, why: str) -> UserError:
        """The error of this command: what it had to do, and what it did."""
        return UserError(fault(self.field, self.shown, f"{allowed} ({why})"))

    def _run(self, folder: Path, source: Path, target: Path) -> None:
        places = {"input": str(source), "output": str(target), "quality": self.quality}
        words = [self.words[0], *(word.format(**places) for word in self.words[1:])]
        scratch = folder / "tmp"
        scratch.mkdir()
        environment = {**os.environ, **(self.environment or {}), "TMPDIR": str(scratch)}
        messages = folder / "messages"
        with messages.open("wb") as stderr:
            try:
                process = subprocess.Popen(
                    words,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=stderr,
                    env=environment,
                    start_new_session=True,
                )
            except (OSError, ValueError) as error:
                why = getattr(error, "strerror", None) or str(error)
                raise self.refused("a program that can be started", why) from error
            try:
                status = process.wait(self.timeout)
            except subprocess.TimeoutExpired as error:
                allowed = f"a program that ends within {self.timeout:g} s (compressor.timeout)"
                raise self.refused(allowed, f"killed; {_last_line(messages)}") from error
            finally:
                # Also what it left running, and also after Ctrl-C, which it doesn't get.
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if status:
            how = f"signal {-status}" if status < 0 else f"status {status}"
            said = f"it ended with {how}; {_last_line(messages)}"
            raise self.refused("a program that ends with status 0", said)

    def _written(self, target: Path) -> bytes:
        allowed = "a program that writes {output}"
        if not target.is_file():
            raise self.refused(allowed, "it ended with status 0 and wrote no such file")
        size = target.stat().st_size
        if size > MAX_BYTES:
            raise self.refused(f"{allowed} of at most {MAX_BYTES} bytes", f"{size} bytes")
        if not size:
            raise self.refused(allowed, "the file is empty")
        return target.read_bytes()


def _last_line(messages: Path) -> str:
    """The last line that isn't blank, of printable characters."""
    with messages.open("rb") as file:
        file.seek(max(0, messages.stat().st_size - _TAIL_BYTES))
        text = file.read().decode("utf-8", errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return "nothing on stderr"
    line = "".join(char if char.isprintable() else " " for char in lines[-1])
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}..."
