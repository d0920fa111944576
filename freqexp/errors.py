"""Errors for the person who typed the command; exit codes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

DONE, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
"""Exit codes of all commands."""


class UserError(Exception):
    """Something the user can mend. Shown as its message alone, without a traceback; exit code 2."""


class ConfigError(UserError, ValueError):
    """All faults of one configuration, each a line that names field, value and what is allowed."""

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(self.faults))


class BudgetError(UserError):
    """There are fewer tokens than are to stay, or fewer are to stay than must."""


def fault(field: str, value: object, allowed: str) -> str:
    """The one wording every configuration fault has."""
    return f"{field}: got {value!r}, allowed: {allowed}"


def exit_code(work: Callable[[], int], name: str = "freqexp", again: str = "") -> int:
    """Do the work of a command; give its exit code. A fault that the user can mend, and Ctrl-C,
    become a line on stderr.

    name: the command's. again: what the same command does after Ctrl-C.
    """
    try:
        return work()
    except ConfigError as error:
        print(f"{name}: nothing was computed\n{error}", file=sys.stderr)
        return BAD_INPUT
    except UserError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print(f"{name}: interrupted{'; ' if again else ''}{again}", file=sys.stderr)
        return INTERRUPTED
