"""A reproduction in words: for a terminal, and as Markdown and JSON files."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from freqexp.files import write_json, write_text
from freqexp.report.text import markdown, plain
from freqexp.reproduction.cells import Cell, Verdict, overall
from freqexp.reproduction.claims import Finding
from freqexp.reproduction.table import PartLine

WIDTH = 100
CELL_HEADS = ("run", "figure", "{then}", "now [95 %]", "difference", "verdict", "why")


@dataclass
class Outcome:
    """Everything a reproduction found. then: what the other column is, "saved" or "published".

    surroundings: where the numbers come from. notes: what a reader must know besides.
    """

    title: str
    then: str
    surroundings: list[str] = field(default_factory=list)
    cells: list[Cell] = field(default_factory=list)
    parts: list[PartLine] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> Verdict:
        """Over all cells; without any, nothing was comparable."""
        return overall(self.cells)

    def sentence(self) -> str:
        """The verdict in a sentence."""
        counts = [
            f"{number} {verdict.words}"
            for verdict in Verdict
            if (number := sum(cell.verdict is verdict for cell in self.cells))
        ]
        return f"{self.verdict.words}: of {len(self.cells)} numbers {', '.join(counts) or 'none'}"


@dataclass(frozen=True)
class _Table:
    """last: how a terminal shows the last column: "beside" the others, "below" its row, or below
    it where it says something "new".
    """

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    last: Literal["beside", "below", "new"] = "beside"


def _tables(outcome: Outcome) -> list[_Table]:
    heads = [head.format(then=outcome.then) for head in CELL_HEADS]
    tables = [
        _Table(
            f"Numbers, {outcome.then} and now",
            heads,
            [
                (c.run, c.figure, c.then, c.now, c.difference or "-", c.verdict.words, c.reason)
                for c in outcome.cells
            ],
            last="new",
        ),
        _Table(
            "The method taken apart",
            ("steps", "accuracy [95 %]", "difference [95 %]", "at the margin", "vision tokens"),
            [(p.name, p.accuracy, p.delta, p.verdict, p.tokens) for p in outcome.parts],
        ),
        _Table(
            "Claims, tested on the runs above",
            ("claim", "outcome", "on", "evidence"),
            [(f.claim, f.outcome, f.where, f.evidence) for f in outcome.findings],
            last="below",
        ),
    ]
    return [table for table in tables if table.rows]


def terminal(outcome: Outcome) -> str:
    """Plain text: the tables in columns, reasons and evidence below their rows."""
    lines = [plain(outcome.title), *(f"  {plain(line)}" for line in outcome.surroundings)]
    for table in _tables(outcome):
        lines += ["", table.title, *_aligned(table)]
    if outcome.notes:
        lines.append("")
    for note in outcome.notes:
        lines += textwrap.wrap(f"* {plain(note)}", WIDTH, subsequent_indent="  ")
    return "\n".join([*lines, "", outcome.sentence()])


def _aligned(table: _Table) -> list[str]:
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


def markdown_page(outcome: Outcome) -> str:
    """The same as a Markdown page."""
    lines = [f"# {markdown(outcome.title)}", ""]
    lines += [f"- {markdown(line)}" for line in outcome.surroundings]
    for table in _tables(outcome):
        lines += ["", f"## {markdown(table.title)}", ""]
        lines.append("| " + " | ".join(map(markdown, table.heads)) + " |")
        lines.append("|" + " --- |" * len(table.heads))
        lines += ["| " + " | ".join(map(markdown, row)) + " |" for row in table.rows]
    lines += ["", *(f"- {markdown(note)}" for note in outcome.notes)]
    return "\n".join([*lines, "", f"**{markdown(outcome.sentence())}**", ""])


def write(outcome: Outcome, folder: Path) -> Path:
    """Write reproduction.md and reproduction.json; gives the former's path.

    Raises UserError when they cannot be written.
    """
    page = folder / "reproduction.md"
    write_text(page, markdown_page(outcome))
    value: dict[str, Any] = asdict(outcome)
    for cell in value["cells"]:
        cell["verdict"] = cell["verdict"].name
    write_json(folder / "reproduction.json", {**value, "verdict": outcome.verdict.name})
    return page
