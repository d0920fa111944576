"""Settings of learned token compressors and their ranges. Imports nothing heavy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from freqexp.errors import fault

STARTS: Mapping[str, tuple[str, ...]] = {
    "linear": ("pool", "first", "quiet", "detail"),
    "dct": ("pool", "detail"),
    "attention": ("pool",),
}
"""The forms of a merge, and what each can begin as."""

WHICH = ("all", "needed")

KINDS = ("plain", "residual", "additive")
DOMAINS = ("token", "dct")

MAX_SIDE = 4
MAX_BOOKS, MAX_CODES, MAX_BEAM = 16, 1 << 16, 64
MAX_JOINT_CODES = 4096
"""Most code words of additive books together: they are solved for at once."""


@dataclass(frozen=True)
class MergeSettings:
    """A grouped merge of neighbours, see `freqexp.tokens.merge.Merge`.

    rows, columns: of a group, 1 to 4. form, start: see STARTS. high: how many of the g - 1
    coefficients above the mean act; None: all. rank: of each of their maps; None: full. heads: of
    the attention. which: of the groups become one token, see WHICH.
    """

    rows: int = 1
    columns: int = 2
    form: str = "linear"
    start: str = "detail"
    high: int | None = None
    rank: int | None = None
    heads: int = 8
    which: str = "all"

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
        if self.which not in WHICH:
            faults.append(fault(f"{prefix}which", self.which, ", ".join(WHICH)))
        elif self.which == "needed" and self.size != 2:
            allowed = "all, or groups of two (rows=1 columns=2, or rows=2 columns=1)"
            faults.append(fault(f"{prefix}which", self.which, allowed))
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


@dataclass(frozen=True)
class VqSettings:
    """Vector quantisation of vision tokens, see `freqexp.tokens.token_vq.TokenVq`.

    kind, domain: see KINDS and DOMAINS. books: how many stand for a token; None: 2, or 1 of plain
    ones. codes: code words of each. band_books, with domain=dct: books of each band, 0 where it is
    dropped; None: those of `books`, 1 and 0. edge_low, edge_mid: where the bands end. merge: what
    comes before; groups of 1 x 1 are none. beam: of the search. commitment: weight of the loss.
    decay: of the running means. expire: a code word used less often than this by their count is
    replaced. center: whether the mean token is taken off first.
    """

    kind: str = "residual"
    books: int | None = None
    codes: int = 64
    domain: str = "token"
    band_books: tuple[int, ...] | None = None
    edge_low: float = 4.0
    edge_mid: float = 8.0
    merge: MergeSettings = field(default_factory=lambda: MergeSettings(columns=1))
    beam: int = 8
    commitment: float = 0.25
    decay: float = 0.99
    expire: float = 0.1
    center: bool = True

    @property
    def edges(self) -> tuple[float, float] | None:
        """Of the bands; None in the domain of tokens, which has one."""
        return (self.edge_low, self.edge_mid) if self.domain == "dct" else None

    @property
    def per_band(self) -> tuple[int, ...]:
        """Books of each band."""
        most = self.books or (1 if self.kind == "plain" else 2)
        if self.domain == "token":
            return (most,)
        return (most, 1, 0) if self.band_books is None else self.band_books

    def said(self) -> dict[str, object]:
        """What fixes the shapes and the meaning of the parameters."""
        found: dict[str, object] = {
            "kind": self.kind,
            "codes": self.codes,
            "domain": self.domain,
            "center": self.center,
        }
        if self.domain == "dct":
            found |= {"edge_low": self.edge_low, "edge_mid": self.edge_mid}
            found["band_books"] = list(self.per_band)
        else:
            found["books"] = self.per_band[0]
        found |= {"rows": self.merge.rows, "columns": self.merge.columns}
        if self.merge.size > 1:
            said = self.merge.said().items()
            found |= {f"merge.{name}": value for name, value in said if name not in found}
        return found

    def faults(self, prefix: str = "") -> list[str]:
        """One line for each setting outside what is allowed, named under `prefix`."""
        faults = self.merge.side_faults(prefix)
        if not faults and self.merge.size > 1:
            faults += self.merge.faults(f"{prefix}merge.")
        for name, value, allowed in (("kind", self.kind, KINDS), ("domain", self.domain, DOMAINS)):
            if value not in allowed:
                faults.append(fault(f"{prefix}{name}", value, ", ".join(allowed)))
        faults += self._book_faults(prefix)
        if not 1 <= self.beam <= MAX_BEAM:
            faults.append(fault(f"{prefix}beam", self.beam, f"1 to {MAX_BEAM}"))
        if not 0 <= self.edge_low <= self.edge_mid < math.inf:
            edges = (self.edge_low, self.edge_mid)
            faults.append(fault(f"{prefix}edge_mid", edges, "0 <= edge_low <= edge_mid"))
        for name in ("commitment", "expire"):
            if not 0 <= getattr(self, name) < math.inf:
                faults.append(fault(f"{prefix}{name}", getattr(self, name), "0 or more"))
        if not 0 <= self.decay < 1:
            faults.append(fault(f"{prefix}decay", self.decay, "0 to below 1"))
        return faults

    def _book_faults(self, prefix: str) -> list[str]:
        faults, most = [], 1 if self.kind == "plain" else MAX_BOOKS
        if not 2 <= self.codes <= MAX_CODES:
            faults.append(fault(f"{prefix}codes", self.codes, f"2 to {MAX_CODES}"))
        if self.books is not None and not 1 <= self.books <= most:
            allowed = "1 (or null) with kind=plain" if most == 1 else f"1 to {most}, or null"
            faults.append(fault(f"{prefix}books", self.books, allowed))
        if self.band_books is not None:
            given = list(self.band_books)
            if self.domain != "dct" or self.books is not None:
                allowed = "null unless domain=dct and books=null"
                faults.append(fault(f"{prefix}band_books", given, allowed))
            elif len(given) != 3 or not any(given) or not all(0 <= n <= most for n in given):
                allowed = f"three numbers of 0 to {most}, not all 0, or null"
                faults.append(fault(f"{prefix}band_books", given, allowed))
        if not faults and self.kind == "additive":
            together = max(self.per_band) * self.codes
            if together > MAX_JOINT_CODES:
                allowed = f"at most {MAX_JOINT_CODES} in all additive books together"
                faults.append(fault(f"{prefix}codes", self.codes, allowed))
        return faults
