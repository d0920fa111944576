"""Settings of learned token compressors and their ranges. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from freqexp.errors import fault

STARTS: Mapping[str, tuple[str, ...]] = {
    "linear": ("pool", "first", "detail"),
    "dct": ("pool", "detail"),
    "attention": ("pool",),
}
"""The forms of a merge, and what each can begin as."""

MAX_SIDE = 4


@dataclass(frozen=True)
class MergeSettings:
    """A grouped merge of neighbours, see `freqexp.tokens.merge.Merge`.

    rows, columns: of a group, 1 to 4. form, start: see STARTS. high: how many of the g - 1
    coefficients above the mean act; None: all. rank: of each of their maps; None: full. heads: of
    the attention.
    """

    rows: int = 1
    columns: int = 2
    form: str = "linear"
    start: str = "detail"
    high: int | None = None
    rank: int | None = None
    heads: int = 8

    @property
    def size(self) -> int:
        """Tokens of a group."""
        return self.rows * self.columns

    def said(self) -> dict[str, object]:
        """What fixes the shapes and the meaning of the parameters."""
        found: dict[str, object] = {"rows": self.rows, "columns": self.columns, "form": self.form}
        if self.form == "dct":
            found |= {"high": self.high, "rank": self.rank}
        if self.form == "attention":
            found["heads"] = self.heads
        return found

    def faults(self, prefix: str = "") -> list[str]:
        """One line for each setting outside what is allowed, named under `prefix`; see also
        `side_faults`.
        """
        if self.form not in STARTS:
            return [fault(f"{prefix}form", self.form, ", ".join(STARTS))]
        faults = []
        if self.start not in STARTS[self.form]:
            allowed = f"{', '.join(STARTS[self.form])} with form={self.form}"
            faults.append(fault(f"{prefix}start", self.start, allowed))
        for name, value in (("high", self.high), ("rank", self.rank)):
            if value is not None and self.form != "dct":
                faults.append(fault(f"{prefix}{name}", value, "null unless form=dct"))
        if self.high is not None and not 0 <= self.high < self.size:
            allowed = f"0 to {self.size - 1} with groups of {self.size}, or null (all)"
            faults.append(fault(f"{prefix}high", self.high, allowed))
        if self.rank is not None and self.rank < 1:
            faults.append(fault(f"{prefix}rank", self.rank, "1 or more, or null (full)"))
        if self.heads < 1:
            faults.append(fault(f"{prefix}heads", self.heads, "1 or more"))
        return faults

    def side_faults(self, prefix: str = "") -> list[str]:
        """One line for each side of the groups outside its range."""
        return [
            fault(f"{prefix}{name}", value, f"1 to {MAX_SIDE}")
            for name, value in (("rows", self.rows), ("columns", self.columns))
            if not 1 <= value <= MAX_SIDE
        ]


def merge_faults(settings: MergeSettings, prefix: str = "") -> list[str]:
    """One line for each setting outside what is allowed where merging is all that is done."""
    faults = settings.side_faults(prefix) + settings.faults(prefix)
    if settings.rows == settings.columns == 1:
        allowed = f"2 to {MAX_SIDE} with rows=1: a group has two tokens or more"
        faults.append(fault(f"{prefix}columns", 1, allowed))
    return faults
