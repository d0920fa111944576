"""Runs and sweeps from their files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from freqexp.comparing.run import Run
from freqexp.comparing.run_files import load_run
from freqexp.comparing.targets import RUN_ID, few, resolve
from freqexp.errors import UserError, fault
from freqexp.results.record_file import RECORDS

DEFAULT_OUTPUTS = "outputs"


@dataclass(frozen=True)
class Loaded:
    """Runs in the order of their sweep, and what was wrong with what was asked for.

    name: for the report's folder. sweep: the sweep's name, when one sweep was asked for. searched:
    what searches that made sweeps found, in sentences.
    """

    name: str
    runs: tuple[Run, ...]
    sweep: str | None = None
    notes: tuple[str, ...] = field(default=())
    searched: tuple[str, ...] = ()


def load(targets: Sequence[str], outputs: str = DEFAULT_OUTPUTS) -> Loaded:
    """The runs that `targets` name: output folders, sweeps or runs, each by its folder or by its
    name in the folder `outputs`; without any, all of `outputs`.

    The baseline a run was compared with comes along when it lies beside it (`Run.added`).
    Raises UserError for a target that is nothing of this, and when no run is found at all.
    """
    notes: list[str] = []
    folders: dict[Path, int | None] = {}
    names: list[tuple[str, str | None]] = []
    searched: list[str] = []
    for target in targets or (outputs,):
        found = resolve(target, Path(outputs), notes)
        for folder, samples in found.folders.items():
            # Asked for by several targets, with as many samples as one of them wants.
            earlier = folders.get(folder, 0)
            everything = samples is None or earlier is None
            folders[folder] = None if everything else max(samples or 0, earlier or 0)
        names.append((found.name, found.sweep))
        searched += found.searched
    name, sweep = names[0] if len(names) == 1 else ("-".join(n for n, _ in names)[:80], None)
    # The order of a folder of run ids says nothing.
    order = _place if len(names) == 1 and sweep is None else None
    loaded = load_runs(folders, order=order)
    if not loaded.runs:
        asked = ", ".join(targets or (outputs,))
        raise UserError(fault("runs", asked, f"something with a run in it ({RECORDS})"))
    notes += loaded.notes
    return replace(loaded, name=name, sweep=sweep, notes=tuple(notes), searched=tuple(searched))


def load_runs(
    folders: Mapping[Path, int | None], order: Callable[[Run], tuple[object, ...]] | None = None
) -> Loaded:
    """The runs in these folders, over so many first samples of each (None: all it has), and the
    baselines they were compared with. order: what to sort them by; None: as given.
    """
    found = [(folder, load_run(folder, samples)) for folder, samples in folders.items()]
    runs = [run for _, run in found if run is not None]
    if order is not None:
        runs.sort(key=order)
    empty = [folder.name for folder in folders if not (folder / RECORDS).is_file()]
    notes = [f"not begun (no {RECORDS}), left out: {few(sorted(empty))}"] if empty else []
    runs, doubled = _once(runs)
    return Loaded("", (*runs, *_missing_baselines(runs)), notes=(*notes, *doubled))


def _place(run: Run) -> tuple[str, str, str, str, str, float, int]:
    """Sorts runs for people; as many needles have one digit, their text does."""
    kept = run.budget
    method = run.model, run.needles, run.compressor, run.options
    return *method, kept.keep_like or "", kept.keep_ratio or 0.0, kept.keep_tokens or 0


def _once(runs: Iterable[Run]) -> tuple[list[Run], list[str]]:
    """Runs by id, each once: of several copies the one with most scored samples."""
    chosen: dict[str, Run] = {}
    notes = []
    for run in runs:
        other = chosen.get(run.run_id)
        if other is not None:
            notes.append(f"run {run.run_id} was given twice, the fuller copy counts")
        if other is None or len(run.scored) > len(other.scored):
            chosen[run.run_id] = run
    return list(chosen.values()), notes


def _missing_baselines(runs: Sequence[Run]) -> list[Run]:
    """Baselines that summaries name, that were not asked for and that lie beside the runs."""
    have = {run.run_id for run in runs}
    found: list[Run] = []
    for run in runs:
        name = (run.summary or {}).get("baseline_run_id")
        if not isinstance(name, str) or name in have or not RUN_ID.fullmatch(name):
            continue
        have.add(name)
        baseline = load_run(run.folder.parent / name, run.asked)
        if baseline is not None:
            found.append(replace(baseline, added=True))
    return found
