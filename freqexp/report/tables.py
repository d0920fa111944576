"""The comparison as a table: for a terminal, in Markdown, LaTeX and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from freqexp.report.budgets import AXES, Gate, absent_controls, gates, pareto_axes
from freqexp.report.compare import Comparison, Estimate, Row
from freqexp.report.text import csv_cell, latex, markdown, plain
from freqexp.summary import FIGURES
from freqexp.table import count, number, size

MISSING = "-"
LETTERS = dict(zip((axis.name for axis in AXES), "stkm", strict=True))
"""Pareto sets in one letter each: stored bytes, tokens, KV cache, milliseconds."""


@dataclass(frozen=True)
class Column:
    """key: sorts the HTML table; None sorts last."""

    head: str
    cell: Callable[[Row], str]
    key: Callable[[Row], float | str | None]
    in_latex: bool = True


def interval(estimate: Estimate | None, sign: bool = False, digits: int = 3) -> str:
    """As in `0.812 [0.703, 0.906]`."""
    if estimate is None:
        return MISSING
    value = number(estimate.value, digits, sign)
    if estimate.low is None or estimate.high is None:
        return value
    return f"{value} [{number(estimate.low, digits, sign)}, {number(estimate.high, digits, sign)}]"


def p_value(value: float | None) -> str:
    """Three digits; below that only that it is below."""
    if value is None:
        return MISSING
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _tokens(row: Row) -> str:
    before, after = row.means.get("vision_tokens_in"), row.means.get("vision_tokens_out")
    return count(after) if before == after else f"{count(before)} -> {count(after)}"


def _value(estimate: Estimate | None) -> float | None:
    return None if estimate is None else estimate.value


def _flips(row: Row) -> str:
    return MISSING if row.delta is None else f"{row.delta.lost} / {row.delta.gained}"


def columns(comparison: Comparison) -> list[Column]:
    """What a row says, in order; columns nobody fills are left out."""
    on = pareto_axes(comparison)

    def letters(row: Row) -> str:
        return "".join(LETTERS[name] for name in on.get(row.run.run_id, ())) or MISSING

    def kept(row: Row) -> str:
        return MISSING if row.run.keep_ratio is None else f"{row.run.keep_ratio:g}"

    def needed(row: Row) -> int | None:
        return None if row.delta is None else row.delta.needed

    margin = f"margin {comparison.margin:g}"
    every = [
        Column("compressor", lambda r: r.run.compressor, lambda r: r.run.compressor),
        Column("options", lambda r: r.run.options, lambda r: r.run.options),
        Column("keep", kept, lambda r: r.run.keep_ratio),
        Column("profile", lambda r: r.run.profile or MISSING, lambda r: r.run.profile),
        Column("n", lambda r: str(r.samples), lambda r: r.samples),
        Column("accuracy [95 %]", lambda r: interval(r.accuracy), lambda r: _value(r.accuracy)),
        Column("chance", lambda r: number(r.chance, 3), lambda r: r.chance),
        Column(
            "prefix miss",
            lambda r: number(_value(r.prefix_miss), 3),
            lambda r: _value(r.prefix_miss),
        ),
        Column(
            "delta [95 %]",
            lambda r: interval(r.delta.accuracy if r.delta else None, sign=True),
            lambda r: r.delta.accuracy.value if r.delta else None,
        ),
        Column(
            "p (Holm)",
            lambda r: p_value(r.delta.p_holm if r.delta else None),
            lambda r: r.delta.p_holm if r.delta else None,
        ),
        Column(
            margin,
            lambda r: r.delta.verdict if r.delta else MISSING,
            lambda r: r.delta.verdict if r.delta else None,
        ),
        Column("lost / gained", _flips, lambda r: r.delta.lost if r.delta else None, False),
        Column(
            "n for 1 pt",
            lambda r: MISSING if needed(r) is None else f"{needed(r)}",
            needed,
            in_latex=False,
        ),
        Column("tokens", _tokens, lambda r: r.means.get("vision_tokens_out")),
        Column(
            "KV cache",
            lambda r: size(r.means.get("kv_cache_bytes")),
            lambda r: r.means.get("kv_cache_bytes"),
        ),
        Column(
            "stored", lambda r: size(AXES[0].cost(r)), lambda r: AXES[0].cost(r), in_latex=False
        ),
        Column("ms", lambda r: number(r.total_ms, 0), lambda r: r.total_ms),
        Column("Pareto", letters, letters),
        Column("notes", lambda r: "; ".join(map(plain, r.notes)), lambda r: len(r.notes), False),
        Column("run", lambda r: plain(r.run.run_id)[:8], lambda r: r.run.run_id, False),
    ]
    return [
        column
        for column in every
        if any(column.cell(row) not in (MISSING, "") for row in comparison.rows)
    ]


LEGEND = (
    "Means per sample over n scored samples. chance: the score of answering with another turn.",
    "prefix miss: share of answers without the required prefix (they score 0).",
    "delta: difference to the uncompressed run on the same samples, paired bootstrap (10,000).",
    "p: paired permutation test, Holm-corrected over all comparisons of this report.",
    "non-inferior: the whole interval, with one more harmed sample, lies above minus the margin.",
    "lost / gained: samples that fell below / rose to a score of 0.5.",
    "n for 1 pt: samples that a difference of 0.01 would need (two-sided 5 %, power 80 %).",
    "stored: bytes that were decoded again; for the baseline its pages as lossless images.",
    "ms: compress + encode + prefill + decode; an encoding shared with the baseline counts.",
    "Pareto: on the Pareto set by s stored bytes, t decoder tokens, k KV cache, m milliseconds.",
)


def findings(comparison: Comparison) -> list[str]:
    """What stands under the table: what was wrong, absent or not beaten. One sentence each."""
    found = [*comparison.loaded.notes, *comparison.notes]
    for gate in gates(comparison):
        found.append(f"{gate_sentence(gate)} ({comparison.groups[gate.group]})")
    absent = absent_controls(comparison.rows)
    if absent:
        found.append(f"controls without a run here: {', '.join(absent)}")
    for axis in AXES:
        blind = sum(axis.cost(row) is None for row in comparison.rows)
        if blind:
            found.append(f"{axis.title}: not measured in {blind} of {len(comparison.rows)} runs")
    return [plain(sentence) for sentence in found]


def gate_sentence(gate: Gate) -> str:
    """The gate's outcome in words; a method that fails is marked so."""
    words = {
        "passes": "beats the controls",
        "ahead": "is ahead of the controls, but not surely",
        "fails": "DOES NOT BEAT THE CONTROLS",
        "untested": "was not tested against controls",
    }
    return f"{gate.method} {words[gate.verdict]}: {gate.reason}"


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
    lines += [f"* {sentence}" for sentence in findings(comparison)]
    return "\n".join([*lines, "", *LEGEND])


def markdown_report(comparison: Comparison, figures: Sequence[tuple[str, str]] = ()) -> str:
    """A Markdown page: tables, findings, legend, figures as (file name, caption)."""
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
    lines += [f"- {markdown(sentence)}" for sentence in findings(comparison)]
    lines += ["", *(f"{sentence}  " for sentence in LEGEND), ""]
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
    verdicts = {(gate.group, gate.method): gate.verdict for gate in gates(comparison)}
    stream = io.StringIO()
    writer: csv.DictWriter[str] | None = None
    for row in comparison.rows:
        values = {name: csv_cell(value) for name, value in _csv_row(row, comparison).items()}
        values["pareto"] = " ".join(on.get(row.run.run_id, ()))
        values["control_gate"] = verdicts.get((row.group, row.run.compressor), "")
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
        "keep_ratio": run.keep_ratio,
        "profile": run.profile,
        "needles": run.needles,
        "samples": row.samples,
        "failed": row.failed,
        "truncated": row.truncated,
        "simulated": None if row.simulated is None else str(row.simulated).lower(),
        **_spread("accuracy", row.accuracy),
        "chance": row.chance,
        "similarity": row.similarity,
        **_spread("prefix_miss_rate", row.prefix_miss),
        "baseline_run_id": None if row.baseline is None else row.baseline.run_id,
        "pairs": None if delta is None else delta.pairs,
        **_spread("delta", None if delta is None else delta.accuracy),
        **_spread("prefix_miss_delta", None if delta is None else delta.prefix_miss),
        "p_value": None if delta is None else delta.p_value,
        "p_holm": None if delta is None else delta.p_holm,
        "delta_worst": None if delta is None else delta.worst,
        "verdict": None if delta is None else delta.verdict,
        "margin": comparison.margin,
        "lost": None if delta is None else delta.lost,
        "gained": None if delta is None else delta.gained,
        "samples_needed": None if delta is None else delta.needed,
        **{name: row.means.get(name) for name in FIGURES},
        "total_ms": row.total_ms,
        "notes": "; ".join(row.notes),
    }
    return values


def _spread(name: str, estimate: Estimate | None) -> dict[str, float | None]:
    if estimate is None:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
