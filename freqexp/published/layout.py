"""The tables of a reproduction, and how a terminal and Markdown show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from freqexp.comparing.text import markdown, plain
from freqexp.published.cells import Cell
from freqexp.published.claims import Finding
from freqexp.published.table import PartLine


@dataclass(frozen=True)
class Table:
    """last: how a terminal shows the last column: "beside" the others, "below" its row, or below
    it where it says something "new".
    """

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    last: Literal["beside", "below", "new"] = "beside"


def cell_table(cells: Sequence[Cell], then: str) -> Table:
    """Numbers beside those they should be. then: what the others are, "saved" or "published"."""
    heads = ["run", "figure", then, "now [95 %]", "difference", "verdict", "why"]
    rows = [
        [c.run, c.figure, c.then, c.now, c.difference or "-", c.verdict.words, c.reason]
        for c in cells
    ]
    if any(cell.where for cell in cells):
        heads.insert(-1, "on")
        for cell, row in zip(cells, rows, strict=True):
            row.insert(-1, cell.where or "-")
    return Table(f"Numbers, {then} and now", heads, rows, last="new")


def part_table(parts: Sequence[PartLine]) -> Table:
    """A method taken apart."""
    return Table(
        "The method taken apart",
        ("steps", "accuracy [95 %]", "difference [95 %]", "at the margin", "vision tokens"),
        [(p.name, p.accuracy, p.delta, p.verdict, p.tokens) for p in parts],
    )


def claim_table(findings: Sequence[Finding]) -> Table:
    """Claims and what became of them."""
    return Table(
        "Claims, tested on the runs above",
        ("claim", "outcome", "on", "evidence"),
        [(f.claim, f.outcome, f.where, f.evidence) for f in findings],
        last="below",
    )


def aligned(table: Table) -> list[str]:
    """The table in columns, its last one where `table.last` says."""
    rows = [[plain(cell) for cell in row] for row in table.rows]
    shown = len(table.heads) - (table.last != "beside")
    widths = [
        max(len(head), *(len(row[i]) for row in rows)) for i, head in enumerate(table.heads[:shown])
    ]

    def line(cells: Sequence[str]) -> str:
        return "  ".join(c.ljust(w) for c, w in zip(cells, widths, strict=True)).rstrip()

    lines = [line(table.heads[:shown]), line(["-" * width for width in widths])]
    before = ""
    for row in rows:
        lines.append(line(row[:shown]))
        said = row[-1] if table.last != "beside" and row[-1] != "-" else ""
        if said and not (table.last == "new" and said == before):
            lines.append(f"    {table.heads[-1]}: {said}")
        before = row[-1]
    return lines


def markdown_lines(table: Table) -> list[str]:
    """The table in Markdown."""
    return [
        "| " + " | ".join(map(markdown, table.heads)) + " |",
        "|" + " --- |" * len(table.heads),
        *("| " + " | ".join(map(markdown, row)) + " |" for row in table.rows),
    ]
