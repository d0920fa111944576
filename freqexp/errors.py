"""Errors for the person who typed the command; exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TextIO

DONE, FAILED, BAD_INPUT, INTERRUPTED, UNREAD = 0, 1, 2, 130, 141
"""Exit codes of all commands."""


class UserError(Exception):
    """Something the user can mend. Shown as its message alone, without a traceback; exit code 2."""


class ConfigError(UserError, ValueError):
    """All faults of one configuration, each a line that names field, value and what is allowed."""

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(self.faults))


class RunError(UserError):
    """No further sample of the run can be answered: it ends, with what it has."""


class BudgetError(UserError):
    """There are fewer tokens than are to stay, or fewer are to stay than must."""


def fault(field: str, value: object, allowed: str) -> str:
    """The one wording every configuration fault has."""
    return f"{field}: got {value!r}, allowed: {allowed}"


def exit_code(work: Callable[[], int], name: str = "freqexp", again: str = "") -> int:
    """Do the work of a command; give its exit code. A fault that the user can mend, and Ctrl-C,
    become a line on stderr, and so does a full disk behind standard output; a reader who has seen
    enough, as in `... | head`, ends it in silence. Arguments that are no text are refused.

    name: the command's. again: what the same command does after Ctrl-C.
    """
    try:
        _check_arguments(sys.argv[1:])
        code = work()
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except BrokenPipeError:
        _write_to_nobody()
        return UNREAD
    except ConfigError as error:
        _tell(f"{name}: nothing was computed\n{error}")
        return BAD_INPUT
    except UserError as error:
        _tell(f"{name}: {error}")
        return BAD_INPUT
    except KeyboardInterrupt:
        _tell(f"{name}: interrupted{'; ' if again else ''}{again}")
        return INTERRUPTED
    except OSError as error:
        if not _is_stuck(sys.stdout):
            raise
        _write_to_nobody()
        reason = error.strerror or type(error).__name__
        _tell(f"{name}: standard output can't be written: {reason}")
        return FAILED


def _tell(line: str) -> None:
    """On standard error, where that can be written: the exit code says it, too."""
    if sys.stderr is not None:
        with suppress(OSError):
            print(line, file=sys.stderr, flush=True)


def _check_arguments(arguments: Sequence[str]) -> None:
    """Bytes that are no UTF-8 come as lone surrogates, which no file of a run could hold."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            raise UserError(fault("argument", argument, "text in UTF-8")) from None


def _is_stuck(stream: TextIO | None) -> bool:
    """Whether nothing can be written to it, tried with an empty line."""
    try:
        if stream is not None:
            print(file=stream, flush=True)
    except OSError:
        return True
    return False


def _write_to_nobody() -> None:
    """Python flushes standard output once more at its end; that must find an open file."""
    nobody = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nobody, sys.stdout.fileno())
    os.close(nobody)
