"""Which checks a method has to pass, and what became of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from freqexp.conform import codec_checks, kv_checks, layer_checks, text_checks, token_checks
from freqexp.conform.cases import Case
from freqexp.conform.expect import NotHereError
from freqexp.conform.kv_tools import kv_cases, stores
from freqexp.errors import UserError


class Named(Protocol):
    """What checks are made of."""

    @property
    def name(self) -> str:
        """For people."""


Checked = TypeVar("Checked", bound=Named)
Check = Callable[[Case], None]


@dataclass(frozen=True)
class Result:
    """What became of a check of a case. fault: why it failed. skipped: why it was not made."""

    case: str
    check: str
    fault: str = ""
    skipped: str = ""


def pairs(cases: Sequence[Case]) -> Iterator[tuple[Case, Check]]:
    """Each case with each of its checks. Building a case may raise UserError."""
    for case in cases:
        stage = case.config.stage
        if stage == "kv":
            for one in kv_cases([case]):
                storing = kv_checks.STORAGE_CHECKS if stores(one) else ()
                yield from ((one, check) for check in (*kv_checks.CHECKS, *storing))
        found = {
            "codec": codec_checks.CHECKS,
            "token": token_checks.CHECKS,
            "decoder": layer_checks.CHECKS,
            "text": text_checks.CHECKS,
        }.get(stage, ())
        yield from ((case, check) for check in found)


def title(check: Callable[[Checked], None]) -> str:
    """A check in words: its function's name."""
    return check.__name__.replace("_", " ")


def tried(case: Checked, check: Callable[[Checked], None]) -> Result:
    """Make a check; whatever it raises is the fault."""
    try:
        check(case)
    except NotHereError as reason:
        return Result(case.name, title(check), skipped=str(reason))
    except (AssertionError, UserError) as error:
        return Result(case.name, title(check), fault=str(error) or type(error).__name__)
    # A method's own code, with exceptions of every type.
    except Exception as error:
        return Result(case.name, title(check), fault=f"{type(error).__name__}: {error}")
    return Result(case.name, title(check))
