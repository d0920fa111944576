"""One self-contained HTML page: tables, figures and the sample viewer. It needs no network.

A content security policy lets no script run but the page's own.
"""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Sequence
from pathlib import Path

from freqexp.comparing.comparison import Comparison, Row
from freqexp.comparing.findings import findings
from freqexp.comparing.gates import gates, method_of, overall
from freqexp.comparing.text import html_text, script_json
from freqexp.report.cache import cache_tables
from freqexp.report.columns import Column, columns, legend
from freqexp.report.drawer import Redrawn, sample_ids
from freqexp.report.drawing import Drawn
from freqexp.report.published import html_table
from freqexp.report.samples import Blocks, answers, overview, sample_blocks
from freqexp.results.mix import KINDS, MISSED, RIGHT

WIDE_PT = 600
"""Figures wider than this, of several panels, take the page's whole width."""

_FOLDER = Path(__file__).parent
_SVG_WIDTH = re.compile(rb'<svg [^>]*?\bwidth="([0-9.]+)pt"')
_SLOT = re.compile(r"\{\{(\w+)\}\}")


def render_page(
    comparison: Comparison,
    drawn: Sequence[Drawn],
    folder: Path,
    redrawn: Redrawn,
    published: str = "",
) -> str:
    """The page. drawn: figures whose SVG files lie in `folder`. published: a section in HTML."""
    blocks = Blocks()
    samples = [sorted(sample_ids(comparison.of_group(g))) for g in range(len(comparison.groups))]
    limit = sample_blocks(comparison, redrawn, samples, blocks)
    notes = [*findings(comparison), *redrawn.notes]
    if any(len(text) > limit for row in comparison.rows for text in answers(row)):
        notes.append(f"texts in the sample viewer are cut after {limit} characters")
    script = (_FOLDER / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    slots = {
        "title": html_text(f"freqexp report: {comparison.loaded.name}"),
        "style": (_FOLDER / "page.css").read_text(encoding="utf-8"),
        "script_hash": f"sha256-{digest}",
        "tables": _tables(comparison),
        "cache": "".join(map(html_table, cache_tables(comparison))),
        "published": published,
        "findings": "".join(f"<li>{html_text(note)}</li>" for note in notes),
        "legend": "".join(f"<li>{html_text(line)}</li>" for line in legend(columns(comparison))),
        "figures": "".join(_figure(figure, folder) for figure in drawn),
        "right": f"{RIGHT:g}",
        "kinds": "".join(
            f'<option value="kind-{number}">{html_text(kind)}</option>'
            for number, kind in enumerate(KINDS)
            if kind != MISSED  # which stands with the flips
        ),
        "blocks": "\n".join(blocks.html),
        "data": script_json(overview(comparison, redrawn, samples)),
        "script": script,
    }
    template = (_FOLDER / "page.html").read_text(encoding="utf-8")
    return _SLOT.sub(lambda slot: slots[slot[1]], template)


def _tables(comparison: Comparison) -> str:
    chosen = columns(comparison)
    verdicts = overall(gates(comparison))
    numbers = {row.run.run_id: index for index, row in enumerate(comparison.rows)}
    parts = []
    for group, title in enumerate(comparison.groups):
        heads = "".join(
            f'<th scope="col"><button type="button">{html_text(column.head)}</button></th>'
            for column in chosen
        )
        lines = []
        for row in comparison.of_group(group):
            kind = "baseline" if row.run.is_baseline else ""
            if verdicts.get((group, method_of(row))) == "fails":
                kind = "failing"
            cells = "".join(_cell(column, row, numbers[row.run.run_id]) for column in chosen)
            lines.append(f'<tr class="{kind}">{cells}</tr>')
        parts.append(
            f'<h3>{html_text(title)}</h3><div class="scroll"><table class="sortable">'
            f"<thead><tr>{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
        )
    return "\n".join(parts)


def _cell(column: Column, row: Row, index: int) -> str:
    key = column.key(row)
    data = "" if key is None else f' data-key="{html_text(key)}"'
    shown = html_text(column.cell(row))
    if column.head == "run":
        shown = f'<button type="button" class="run" data-run="{index}">{shown}</button>'
    kind = ' class="notes"' if column.head == "notes" else ""
    return f"<td{kind}{data}>{shown}</td>"


def _figure(drawn: Drawn, folder: Path) -> str:
    # As an image an SVG can run no script, whatever text it holds.
    svg = (folder / f"{drawn.name}.svg").read_bytes()
    width = _SVG_WIDTH.search(svg)
    kind = ' class="wide"' if width and float(width[1]) > WIDE_PT else ""
    data = base64.b64encode(svg).decode()
    caption = html_text(drawn.caption)
    seen = html.escape(drawn.text) if drawn.text else caption
    return (
        f'<figure{kind}><img alt="{seen}" src="data:image/svg+xml;base64,{data}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )
