"""The comparison as a table: for a terminal, in Markdown, LaTeX and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict

from freqexp.comparing.budgets import pareto_axes
from freqexp.comparing.comparison import Comparison, Estimate, Row
from freqexp.comparing.findings import findings
from freqexp.comparing.gates import gates, method_of
from freqexp.comparing.questions import kv_share
from freqexp.comparing.text import csv_cell, latex, markdown
from freqexp.published.layout import aligned, markdown_lines
from freqexp.report.cache import cache_tables
from freqexp.report.columns import columns, legend, median_of
from freqexp.results.summarize import token_ratio
from freqexp.results.summary import FIGURES


def terminal(comparison: Comparison) -> str:
    """Plain text: a block of rows for each group, the findings, the legend."""
    chosen = columns(comparison)
    cells = {row.run.run_id: [c.cell(row) for c in chosen] for row in comparison.rows}
    widths = [
        max(len(column.head), *(len(line[index]) for line in cells.values()))
        for index, column in enumerate(chosen)
    ]

    def line(values: Sequence[str]) -> str:
        return "  ".join(v.ljust(w) for v, w in zip(values, widths, strict=True)).rstrip()

    lines = []
    for group, title in enumerate(comparison.groups):
        lines += [title, line([c.head for c in chosen]), line(["-" * width for width in widths])]
        lines += [line(cells[row.run.run_id]) for row in comparison.of_group(group)]
        lines.append("")
    for table in cache_tables(comparison):
        lines += [table.title, *aligned(table), ""]
    lines += [f"* {sentence}" for sentence in findings(comparison)]
    return "\n".join([*lines, "", *legend(chosen)])


def markdown_report(
    comparison: Comparison, figures: Sequence[tuple[str, str]] = (), published: str = ""
) -> str:
    """A Markdown page: tables, findings, legend, what was published, figures as (file name,
    caption).
    """
    chosen = columns(comparison)
    lines = [f"# {markdown(comparison.loaded.name)}", ""]
    for group, title in enumerate(comparison.groups):
        lines += [f"## {markdown(title)}", ""]
        lines.append("| " + " | ".join(markdown(column.head) for column in chosen) + " |")
        lines.append("|" + "---|" * len(chosen))
        for row in comparison.of_group(group):
            cells = (markdown(column.cell(row)) for column in chosen)
            lines.append("| " + " | ".join(cells) + " |")
        lines.append("")
    for table in cache_tables(comparison):
        lines += [f"## {markdown(table.title)}", "", *markdown_lines(table), ""]
    lines += [f"- {markdown(sentence)}" for sentence in findings(comparison)]
    lines += ["", *(f"{sentence}  " for sentence in legend(chosen)), ""]
    if published:
        lines.append(published)
    for name, caption in figures:
        lines += [f"![{markdown(caption)}]({name})", ""]
    return "\n".join(lines)


def latex_table(comparison: Comparison) -> str:
    """A booktabs table; the packages it needs stand in its first line."""
    chosen = [column for column in columns(comparison) if column.in_latex]
    lines = [r"% \usepackage{booktabs} \usepackage[T1]{fontenc} \usepackage{textcomp}"]
    lines += [r"\begin{tabular}{" + "l" * len(chosen) + "}", r"\toprule"]
    lines.append(" & ".join(latex(column.head) for column in chosen) + r" \\")
    for group, title in enumerate(comparison.groups):
        lines += [
            r"\midrule",
            rf"\multicolumn{{{len(chosen)}}}{{l}}{{{latex(title)}}} \\",
            r"\midrule",
        ]
        for row in comparison.of_group(group):
            # Braces: a cell that begins with [ would be taken for an option of \\.
            lines.append(" & ".join(f"{{{latex(c.cell(row))}}}" for c in chosen) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def csv_table(comparison: Comparison) -> str:
    """Every number unrounded, one row a run; a value that was not measured is empty."""
    on = pareto_axes(comparison)
    contests = gates(comparison)
    stream = io.StringIO()
    writer: csv.DictWriter[str] | None = None
    for row in comparison.rows:
        values = {name: csv_cell(value) for name, value in _csv_row(row, comparison).items()}
        values["pareto"] = " ".join(on.get(row.run.run_id, ()))
        mine = [g for g in contests if (g.group, g.method) == (row.group, method_of(row))]
        values["control_gate"] = "; ".join(f"{g.budget}: {g.verdict}" for g in mine)
        if writer is None:
            writer = csv.DictWriter(stream, list(values), lineterminator="\n")
            writer.writeheader()
        writer.writerow(values)
    return stream.getvalue()


def _csv_row(row: Row, comparison: Comparison) -> dict[str, object]:
    delta, run = row.delta, row.run
    values: dict[str, object] = {
        "run_id": run.run_id,
        "group": comparison.groups[row.group],
        "model": run.model,
        "compressor": run.compressor,
        "options": run.options,
        **asdict(run.budget),
        "profile": run.profile,
        "question": run.question,
        "needles": run.needles,
        "samples": row.samples,
        "failed": row.failed,
        "truncated": row.truncated,
        "simulated": None if row.simulated is None else str(row.simulated).lower(),
        **_spread("accuracy", row.accuracy),
        "chance": row.chance,
        "similarity": row.similarity,
        **row.parts,
        **{f"mix_{kind.replace(' ', '_')}": count for kind, count in row.mix.items()},
        **_spread("prefix_miss_rate", row.prefix_miss),
        "baseline_run_id": None if row.baseline is None else row.baseline.run_id,
        "pairs": None if delta is None else delta.pairs,
        **_spread("delta", None if delta is None else delta.accuracy),
        **_spread("prefix_miss_delta", None if delta is None else delta.prefix_miss),
        "p_value": None if delta is None else delta.p_value,
        "p_holm": None if delta is None else delta.p_holm,
        "verdict": None if delta is None else delta.verdict,
        "margin": comparison.margin,
        "lost": None if delta is None else delta.lost,
        "gained": None if delta is None else delta.gained,
        "samples_needed_non_inferior": None if delta is None else delta.needed_non_inferior,
        "samples_needed_loss": None if delta is None else delta.needed_loss,
        **{name: row.means.get(name) for name in FIGURES},
        "text_token_ratio": token_ratio(row.means),
        "kv_share": kv_share(row),
        "total_ms": row.total_ms,
        "total_ms_median": row.median_ms,
        **{f"{name}_median": median_of(row, name) for name in ("kv_ms", "decode_token_ms")},
        "notes": "; ".join(row.notes),
    }
    return values


def _spread(name: str, estimate: Estimate | None) -> dict[str, float | None]:
    if estimate is None:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
