"""Programs outside Python that encode or decode pages."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from freqexp.errors import UserError

INPUT, OUTPUT = "{input}", "{output}"
"""Arguments that stand for the paths of the file a program reads and of the one it writes."""

TIME_LIMIT_S = 120.0
_SHOWN = 300
# The shell limits itself and becomes the program, so it is that one which a time limit ends.
_LIMITED = ("/bin/sh", "-c", 'ulimit -v "$0" 2>/dev/null; exec "$@"')


class ProgramError(UserError):
    """A program is not installed, failed or took too long; the message names it."""


def missing(programs: Sequence[str]) -> tuple[str, ...]:
    """Those of the programs that are not on the PATH."""
    return tuple(program for program in programs if shutil.which(program) is None)


def run(
    command: Sequence[str],
    data: bytes = b"",
    *,
    seconds: float = TIME_LIMIT_S,
    memory_bytes: int | None = None,
) -> bytes:
    """What a program writes to its output when it reads `data`.

    command: name and arguments; no shell reads them. seconds: after which it is killed.
    memory_bytes: address space it may have; None: no limit. Raises ProgramError.
    """
    name = command[0]
    path = shutil.which(name)
    if path is None:
        raise ProgramError(f"{name}: no such program on the PATH")
    call = [path, *command[1:]]
    if memory_bytes is not None:
        call = [*_LIMITED, str(memory_bytes // 1024), *call]
    try:
        done = subprocess.run(call, input=data, capture_output=True, timeout=seconds, check=True)
    except subprocess.TimeoutExpired as error:
        raise ProgramError(f"{name}: took more than {seconds:g} s") from error
    except subprocess.CalledProcessError as error:
        said = " ".join(error.stderr.decode(errors="replace").split())[:_SHOWN]
        raise ProgramError(f"{name}: exit code {error.returncode} ({said})") from error
    except OSError as error:
        raise ProgramError(f"{name}: {error.strerror}") from error
    return done.stdout


def run_on_files(
    command: Sequence[str], data: bytes, suffix: str = "", *, seconds: float = TIME_LIMIT_S
) -> bytes:
    """The file that a program writes: OUTPUT in `command`, of a file with `data`: INPUT.

    suffix: of the name of the input. Nothing is left on disk. Raises ProgramError.
    """
    with tempfile.TemporaryDirectory(prefix="freqexp-") as folder:
        given, made = Path(folder, f"page{suffix}"), Path(folder, "stored")
        given.write_bytes(data)
        paths = {INPUT: str(given), OUTPUT: str(made)}
        run([paths.get(part, part) for part in command], seconds=seconds)
        if not made.is_file():
            raise ProgramError(f"{command[0]}: wrote no file")
        return made.read_bytes()
