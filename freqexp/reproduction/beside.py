"""Runs beside the published tables whose settings they have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from freqexp.report.comparison import Comparison, Row
from freqexp.reproduction.cells import Cell, Verdict
from freqexp.reproduction.claims import Finding, findings
from freqexp.reproduction.layout import Table, cell_table, claim_table, part_table
from freqexp.reproduction.published import (
    Claim,
    Part,
    Published,
    PublishedCell,
    experiments,
    load_published,
    matches,
)
from freqexp.reproduction.table import (
    NOT_RUN,
    PartLine,
    cells,
    part_lines,
    published_significance,
)


@dataclass(frozen=True, kw_only=True)
class Beside:
    """A published table beside our runs. notes: what a reader of the comparison must know."""

    experiment: str
    published: Published
    cells: Sequence[Cell]
    parts: Sequence[PartLine]
    findings: Sequence[Finding]
    notes: Sequence[str]

    @property
    def tables(self) -> list[Table]:
        """Numbers, parts and claims; those that have rows."""
        tables = (
            cell_table(self.cells, "published"),
            part_table(self.parts),
            claim_table(self.findings),
        )
        return [table for table in tables if table.rows]

    @property
    def title(self) -> str:
        """The experiment and what its table is of."""
        return f"{self.experiment}: {self.published.title}"

    def of_runs(self) -> Beside:
        """The same without the numbers and claims that have no run; the notes name them."""
        absent = [cell.run for cell in self.cells if cell.reason == NOT_RUN]
        absent += [found.claim for found in self.findings if found.outcome == "not run"]
        said = [f"not among these runs: {'; '.join(absent)}"] if absent else []
        return Beside(
            experiment=self.experiment,
            published=self.published,
            cells=[cell for cell in self.cells if cell.reason != NOT_RUN],
            parts=self.parts,
            findings=[found for found in self.findings if found.outcome != "not run"],
            notes=[*said, *self.notes],
        )

    def sentences(self) -> list[str]:
        """What holds and what does not, in words: the numbers together, the claims one by one."""
        counts = Counter(cell.verdict for cell in self.cells)
        said = []
        if self.cells:
            numbers = ", ".join(f"{counts[v]} {v.words}" for v in Verdict if counts[v])
            said.append(f"{self.experiment}: of {len(self.cells)} published numbers {numbers}")
        said += [
            f'{self.experiment}: the claim "{found.claim}" '
            f"{_OUTCOMES.get(found.outcome, found.outcome)} on {found.where}"
            for found in self.findings
        ]
        return said


_OUTCOMES = {"holds": "HOLDS", "does not hold": "DOES NOT HOLD", "undecided": "is undecided"}


def beside(experiment: str, published: Published, comparison: Comparison) -> Beside:
    """Every number and claim of a published table on the runs at hand."""
    return Beside(
        experiment=experiment,
        published=published,
        cells=cells(published, comparison),
        parts=part_lines(published, comparison),
        findings=findings(published, comparison),
        notes=[*published_significance(published.cells), *published.notes],
    )


@dataclass(frozen=True)
class _Known:
    """A table with the rows it is of, the ids of the compressed runs among them, and whether no
    run of it is missing.
    """

    experiment: str
    published: Published
    rows: tuple[Row, ...]
    runs: frozenset[str]
    complete: bool


def recognised(comparison: Comparison) -> list[Beside]:
    """The published tables that these runs are runs of, known by their saved settings.

    Tables share settings. One that lacks runs is left out where another has all of its runs and
    more: the runs of Table 1 are no attempt at Table 3. Raises ConfigError and UserError for a
    file of `conf/published` that is not as it should be.
    """
    known = [
        found
        for name in experiments()
        if (published := load_published(name)) is not None
        and (found := _known(name, published, comparison)).runs
    ]
    return [
        beside(one.experiment, one.published, replace(comparison, rows=one.rows)).of_runs()
        for one in known
        if one.complete or not any(one.runs < other.runs for other in known)
    ]


def _known(experiment: str, published: Published, comparison: Comparison) -> _Known:
    entries: list[PublishedCell | Claim | Part] = [*published.cells, *published.claims]
    entries += published.parts
    methods = [entry.run for entry in entries if entry.run.get("compressor.name") != "none"]
    ours = [
        row
        for row in comparison.rows
        if not row.run.is_baseline and matches(row.run, published.runs)
    ]
    of_method = [{row.run.run_id for row in ours if matches(row.run, one)} for one in methods]
    runs = frozenset().union(*of_method)
    bases = {row.baseline.run_id for row in ours if row.run.run_id in runs and row.baseline}
    rows = tuple(row for row in comparison.rows if row.run.run_id in runs | bases)
    return _Known(experiment, published, rows, runs, all(of_method))
