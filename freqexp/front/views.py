"""What notebooks show, each in one call; a notebook displays what it gives as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from freqexp.comparing.comparison import Comparison
    from freqexp.published.text import Outcome


@dataclass(frozen=True, eq=False)
class Compared:
    """Runs beside their baselines, as `python -m freqexp.report` compares them."""

    comparison: Comparison

    def _repr_markdown_(self) -> str:
        from freqexp.report.tables import markdown_report

        return markdown_report(self.comparison)

    def __str__(self) -> str:
        from freqexp.report.tables import terminal

        return terminal(self.comparison)

    def draw(self, folder: str | Path) -> list[Path]:
        """Write the report's figures into `folder`; gives the PNG files.

        Raises UserError when a file can't be written.
        """
        from freqexp.report.figures import draw_all

        into = Path(folder)
        return [into / f"{drawn.name}.png" for drawn in draw_all(self.comparison, into)]


def compare_runs(*targets: str, baseline: str | None = None) -> Compared:
    """Runs on the same samples, each beside its uncompressed baseline.

    targets: output folders, sweeps or runs; without any, `outputs`. baseline: the id of the run to
    compare with, in place of each run's own. Raises UserError for what is none of it.
    """
    from freqexp.comparing.compare import compare
    from freqexp.comparing.load import load

    return Compared(compare(load(targets), baseline))


@dataclass(frozen=True, eq=False)
class Repeated:
    """Runs computed again, beside what was saved or published of them.

    folder: where what is written about it goes.
    """

    outcome: Outcome
    folder: Path

    def _repr_markdown_(self) -> str:
        from freqexp.published.text import markdown_page

        return markdown_page(self.outcome)

    def __str__(self) -> str:
        from freqexp.published.text import terminal

        return terminal(self.outcome)


def repeat_runs(target: str, overrides: Sequence[str] = (), outputs: str = "outputs") -> Repeated:
    """As `python -m freqexp.reproduce`: a saved run, a sweep or an experiment computed again.

    Raises UserError and ConfigError for what the user can mend.
    """
    from freqexp.reproduce.again import reproduce

    return Repeated(*reproduce(target, overrides, outputs))


def draw_pages(folder: str | Path, conversations: int = 4) -> list[Path]:
    """Pages of generated conversations before and after the paper's block DCT, their mean spectrum
    and what was lost, as PNG files in `folder`; gives these. The numbers are in its
    `paper_pages.csv`.

    Raises UserError when they can't be written.
    """
    from freqexp.figures.studies import draw_paper

    drawn = draw_paper(Path(folder), conversations)
    return [Path(folder) / f"{figure.name}.png" for figure in drawn]
