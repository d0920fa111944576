"""A report's folder: everything that `python -m freqexp.report` writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from freqexp.comparing.comparison import Comparison
from freqexp.errors import UserError, fault
from freqexp.files import write_text
from freqexp.published.beside import Beside, recognised
from freqexp.report import published
from freqexp.report.cache import cache_tables
from freqexp.report.drawing import Drawn
from freqexp.report.figures import draw_all
from freqexp.report.page import render_page
from freqexp.report.pages import Limits, redraw
from freqexp.report.tables import csv_table, latex_table, markdown_report

FIGURE_FILES = tuple(
    f"{name}*.{ending}"
    for name in ("accuracy_", "differences", "mix", "prefix_misses", "kv_components")
    for ending in ("png", "svg")
)
MARKDOWN, LATEX, CSV, HTML = "report.md", "table.tex", "table.csv", "report.html"
PUBLISHED_LATEX, PUBLISHED_CSV = "published.tex", "published.csv"
CACHE_LATEX = "kv_cache.tex"


@dataclass(frozen=True)
class Report:
    """What was written, and where. has_cache: whether a run compressed the KV cache."""

    folder: Path
    figures: tuple[Drawn, ...]
    notes: tuple[str, ...]
    published: tuple[Beside, ...] = ()
    has_cache: bool = False

    @property
    def files(self) -> Sequence[str]:
        """Names of the tables and the page."""
        also = (PUBLISHED_LATEX, PUBLISHED_CSV) if self.published else ()
        return (HTML, MARKDOWN, LATEX, CSV, *[CACHE_LATEX] * self.has_cache, *also)


def write_report(comparison: Comparison, folder: Path, limits: Limits | None = None) -> Report:
    """Write tables, figures and the page into `folder`, replacing those of an earlier report.

    Raises UserError when it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in (*FIGURE_FILES, PUBLISHED_LATEX, PUBLISHED_CSV, CACHE_LATEX):
            for old in folder.glob(name):
                old.unlink()
    except OSError as error:
        allowed = f"a folder that can be written ({error.strerror})"
        raise UserError(fault("--out", str(folder), allowed)) from None
    figures = draw_all(comparison, folder)
    redrawn = redraw(comparison, limits)
    beside = recognised(comparison)
    section = published.html_section(beside)
    write_text(folder / HTML, render_page(comparison, figures, folder, redrawn, section))
    pictures = [(f"{figure.name}.png", figure.caption) for figure in figures]
    chapter = published.markdown_section(beside)
    write_text(folder / MARKDOWN, markdown_report(comparison, pictures, chapter))
    if beside:
        write_text(folder / PUBLISHED_LATEX, published.latex_tables(beside))
        write_text(folder / PUBLISHED_CSV, published.csv_table(beside))
    cached = cache_tables(comparison)
    if cached:
        write_text(folder / CACHE_LATEX, published.latex_page(cached))
    write_text(folder / LATEX, latex_table(comparison))
    write_text(folder / CSV, csv_table(comparison))
    return Report(folder, tuple(figures), tuple(redrawn.notes), tuple(beside), bool(cached))
