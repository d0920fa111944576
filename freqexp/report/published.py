"""The published column beside ours: for a terminal, in Markdown, LaTeX, CSV and HTML."""

from __future__ import annotations

import csv
import io
import textwrap
from collections.abc import Sequence

from freqexp.comparing.text import csv_cell, html_text, latex, markdown, plain
from freqexp.published.beside import Beside
from freqexp.published.cells import Cell, Verdict
from freqexp.published.claims import Finding
from freqexp.published.layout import Table, aligned, markdown_lines

WIDTH = 100
_WIDE = ("why", "evidence", "claim")
"""Columns of sentences, which LaTeX and HTML break into lines."""
_PACKAGES = r"% \usepackage{booktabs} \usepackage[T1]{fontenc} \usepackage{textcomp}"


def heading(found: Beside) -> str:
    """Says what is beside what."""
    return f"Published beside ours: {found.title}"


def terminal(tables: Sequence[Beside]) -> str:
    """Plain text; empty when nothing is published for these runs."""
    lines: list[str] = []
    for found in tables:
        lines += ["", plain(heading(found)), f"  {plain(found.published.source)}"]
        for table in found.tables:
            lines += ["", table.title, *aligned(table)]
        lines.append("")
        for sentence in (*found.sentences(), *found.notes):
            lines += textwrap.wrap(f"* {plain(sentence)}", WIDTH, subsequent_indent="  ")
    return "\n".join(lines)


def markdown_section(tables: Sequence[Beside]) -> str:
    """A chapter for each published table."""
    lines: list[str] = []
    for found in tables:
        lines += [f"## {markdown(heading(found))}", "", markdown(found.published.source), ""]
        for table in found.tables:
            lines += [f"### {markdown(table.title)}", "", *markdown_lines(table), ""]
        lines += [f"- {markdown(text)}" for text in (*found.sentences(), *found.notes)]
        lines.append("")
    return "\n".join(lines)


def latex_tables(tables: Sequence[Beside]) -> str:
    """Booktabs tables; the packages they need stand in the first line."""
    lines = [_PACKAGES]
    for found in tables:
        lines += ["", f"% {plain(heading(found))}"]
        for table in found.tables:
            lines += [f"% {table.title}", *_latex(table)]
    return "\n".join([*lines, ""])


def latex_page(tables: Sequence[Table]) -> str:
    """Booktabs tables of anything else."""
    lines = [line for table in tables for line in (f"% {table.title}", *_latex(table))]
    return "\n".join([_PACKAGES, *lines, ""])


def _latex(table: Table) -> list[str]:
    kinds = "".join("p{5cm}" if head in _WIDE else "l" for head in table.heads)
    lines = [rf"\begin{{tabular}}{{{kinds}}}", r"\toprule"]
    lines += [" & ".join(map(latex, table.heads)) + r" \\", r"\midrule"]
    # Braces: a cell that begins with [ would be taken for an option of \\.
    lines += [" & ".join(f"{{{latex(cell)}}}" for cell in row) + r" \\" for row in table.rows]
    return [*lines, r"\bottomrule", r"\end{tabular}"]


def csv_table(tables: Sequence[Beside]) -> str:
    """Numbers and claims, a row each; numbers unrounded, scores in [0, 1]. difference: ours minus
    the published number, where the two can be compared.
    """
    stream = io.StringIO()
    heads = ("experiment", "kind", "name", "figure", "published", "ours", "ours_low", "ours_high")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow((*heads, "difference", "verdict", "on", "why"))
    for found in tables:
        rows = [*map(_number_row, found.cells), *map(_claim_row, found.findings)]
        for row in rows:
            writer.writerow([csv_cell(cell) for cell in (found.experiment, *row)])
    return stream.getvalue()


def _number_row(cell: Cell) -> tuple[object, ...]:
    comparable = cell.verdict is not Verdict.not_comparable
    gap = None
    if comparable and cell.value is not None and cell.expected is not None:
        gap = cell.value - cell.expected
    ours = (cell.value, cell.low, cell.high, gap)
    said = (cell.verdict.words, cell.where, cell.reason)
    return ("number", cell.run, cell.figure, cell.expected, *ours, *said)


def _claim_row(found: Finding) -> tuple[object, ...]:
    return ("claim", found.claim, *(None,) * 6, found.outcome, found.where, found.evidence)


def html_section(tables: Sequence[Beside]) -> str:
    """A section of the page for each published table."""
    parts = []
    for found in tables:
        parts += [f"<h3>{html_text(heading(found))}</h3>"]
        parts.append(f'<p class="soft">{html_text(found.published.source)}</p>')
        parts += [html_table(table) for table in found.tables]
        said = "".join(f"<li>{html_text(text)}</li>" for text in (*found.sentences(), *found.notes))
        parts.append(f'<ul class="findings">{said}</ul>')
    return "\n".join(parts)


def html_table(table: Table) -> str:
    """A table with its title."""
    heads = "".join(f'<th scope="col">{html_text(head)}</th>' for head in table.heads)
    rows = "".join(_html_row(table, row) for row in table.rows)
    return (
        f'<h4>{html_text(table.title)}</h4><div class="scroll"><table class="published">'
        f"<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _html_row(table: Table, row: Sequence[str]) -> str:
    cells = []
    for head, cell in zip(table.heads, row, strict=True):
        kind = ' class="notes"' if head in _WIDE else ""
        cells.append(f"<td{kind}>{html_text(cell)}</td>")
    return f"<tr>{''.join(cells)}</tr>"
