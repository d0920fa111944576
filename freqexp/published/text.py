"""A reproduction in words: for a terminal, and as Markdown and JSON files."""

from __future__ import annotations

import textwrap
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from freqexp.comparing.text import markdown, plain
from freqexp.files import write_json, write_text
from freqexp.published.cells import Cell, Verdict, overall
from freqexp.published.claims import Finding
from freqexp.published.layout import (
    Table,
    aligned,
    cell_table,
    claim_table,
    markdown_lines,
    part_table,
)
from freqexp.published.table import PartLine

WIDTH = 100


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


def _tables(outcome: Outcome) -> list[Table]:
    tables = (
        cell_table(outcome.cells, outcome.then),
        part_table(outcome.parts),
        claim_table(outcome.findings),
    )
    return [table for table in tables if table.rows]


def terminal(outcome: Outcome) -> str:
    """Plain text: the tables in columns, reasons and evidence below their rows."""
    lines = [plain(outcome.title), *(f"  {plain(line)}" for line in outcome.surroundings)]
    for table in _tables(outcome):
        lines += ["", table.title, *aligned(table)]
    if outcome.notes:
        lines.append("")
    for note in outcome.notes:
        lines += textwrap.wrap(f"* {plain(note)}", WIDTH, subsequent_indent="  ")
    return "\n".join([*lines, "", outcome.sentence()])


def markdown_page(outcome: Outcome) -> str:
    """The same as a Markdown page."""
    lines = [f"# {markdown(outcome.title)}", ""]
    lines += [f"- {markdown(line)}" for line in outcome.surroundings]
    for table in _tables(outcome):
        lines += ["", f"## {markdown(table.title)}", "", *markdown_lines(table)]
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
