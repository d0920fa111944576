"""Runs beside the published tables whose settings they have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from freqexp.comparing.comparison import Comparison, Row
from freqexp.comparing.run import Run
from freqexp.comparing.targets import RUN_ID, SWEEP_FILE
from freqexp.files import read_json
from freqexp.published.cells import Cell, Verdict
from freqexp.published.claims import Finding, findings
from freqexp.published.layout import Table, cell_table, claim_table, part_table
from freqexp.published.numbers import (
    Claim,
    Part,
    Published,
    PublishedCell,
    experiments,
    load_published,
    matches,
)
from freqexp.published.table import (
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
        """What holds and what does not, in words."""
        said = []
        if self.cells:
            counts = Counter(cell.verdict for cell in self.cells)
            numbers = ", ".join(f"{counts[v]} {v.words}" for v in Verdict if counts[v])
            said.append(f"{self.experiment}: of {len(self.cells)} published numbers {numbers}")
        claims: dict[tuple[str, str], list[str]] = {}
        for found in self.findings:
            claims.setdefault((found.where, found.outcome), []).append(f'"{found.claim}"')
        said += [
            f"{self.experiment} on {where}: {outcome.upper()}: {', '.join(texts)}"
            for (where, outcome), texts in claims.items()
        ]
        return said


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


def recognised(comparison: Comparison) -> list[Beside]:
    """The published tables that these runs are runs of, known by their saved settings.

    Settings that are the defaults of a method, or that tables share, are no attempt at a table: it
    is taken when all of its runs are there, or one of them was started as its experiment. Raises
    ConfigError and UserError for a file of `conf/published` that is not as it should be.
    """
    found = []
    for name in experiments():
        published = load_published(name)
        rows = () if published is None else _rows(name, published, comparison)
        if published is not None and rows:
            found.append(beside(name, published, replace(comparison, rows=rows)).of_runs())
    return found


def _rows(experiment: str, published: Published, comparison: Comparison) -> tuple[Row, ...]:
    """The rows that a table is of, baselines included; none when the runs are no attempt at it."""
    entries: list[PublishedCell | Claim | Part] = [*published.cells, *published.claims]
    entries += published.parts
    methods = [entry.run for entry in entries if entry.run.get("compressor.name") != "none"]
    ours = [
        row
        for row in comparison.rows
        if not row.run.is_baseline and matches(row.run, published.runs)
    ]
    of_method = [[row for row in ours if matches(row.run, method)] for method in methods]
    rows = {row.run.run_id: row for found in of_method for row in found}
    sweep = comparison.loaded.sweep
    if not all(of_method) and not any(
        experiment in started_as(row.run, sweep) for row in rows.values()
    ):
        return ()
    bases = {row.baseline.run_id for row in rows.values() if row.baseline is not None}
    return tuple(row for row in comparison.rows if row.run.run_id in {*rows, *bases})


def started_as(run: Run, sweep: str | None = None) -> set[str]:
    """The experiments a run was started as, by the files of its sweep and of `sweep`."""
    found = set()
    for name in (run.setting("sweep_name"), sweep):
        if not isinstance(name, str) or not RUN_ID.fullmatch(name):
            continue
        plan = read_json(run.folder.parent.parent / "sweeps" / name / SWEEP_FILE) or {}
        points = plan.get("runs")
        for point in points if isinstance(points, list) else []:
            if isinstance(point, dict) and point.get("run_id") == run.run_id:
                overrides = point.get("overrides")
                texts = overrides if isinstance(overrides, list) else []
                found |= {str(t).removeprefix(_EXPERIMENT) for t in texts if _is_experiment(t)}
    return found


_EXPERIMENT = "experiment="


def _is_experiment(text: object) -> bool:
    return isinstance(text, str) and text.startswith(_EXPERIMENT)
