"""Which folders of runs are meant by what was asked for: a run, a sweep, a whole output folder."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from freqexp.comparing.text import plain
from freqexp.errors import UserError, fault
from freqexp.files import read_json
from freqexp.results.provenance import CONFIG
from freqexp.results.record_file import RECORDS
from freqexp.results.search_file import search_sentences
from freqexp.results.summary import SUMMARY

SWEEP_FILE = "sweep.json"
SHORTEST_PREFIX = 4
RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class Found:
    """Folders of runs, and how many samples of each are meant (None: all it has).

    name: for the report. sweep: its name, when they are one sweep's. searched: what a search that
    made the sweep found, in sentences.
    """

    name: str
    folders: Mapping[Path, int | None]
    sweep: str | None = None
    searched: tuple[str, ...] = ()


def resolve(target: str, outputs: Path, notes: list[str]) -> Found:
    """The runs of a folder, or of a name in `outputs`; what is amiss with them goes into `notes`.

    Raises UserError for a target that is no run, no sweep and no folder with runs.
    """
    path = Path(target).expanduser()
    if path.is_file():
        path = path.parent
    if path.is_dir():
        # Resolved, because a path such as "." has neither name nor parents.
        found = _folder(path.resolve(), notes)
        if found is not None:
            return found
        raise UserError(
            fault("runs", target, f"a folder of a run, of a sweep, or with runs/*/{RECORDS} in it")
        )
    if RUN_ID.fullmatch(target):
        if (outputs / "sweeps" / target / SWEEP_FILE).is_file():
            return _sweep((outputs / "sweeps" / target).resolve(), notes)
        if len(target) >= SHORTEST_PREFIX:
            matches = sorted((outputs / "runs").glob(f"{target}*"))
            if len(matches) == 1:
                return Found(matches[0].name, {matches[0].resolve(): None})
            if matches:
                several = few([match.name for match in matches])
                raise UserError(fault("runs", target, f"one of {several}"))
    allowed = f"a folder, or the name of a sweep or run in {outputs} (--outputs)"
    raise UserError(fault("runs", target, allowed))


def _folder(path: Path, notes: list[str]) -> Found | None:
    name = path.name
    if (path / SWEEP_FILE).is_file():
        return _sweep(path, notes)
    if any((path / file).is_file() for file in (RECORDS, CONFIG, SUMMARY)):
        return Found(name, {path: None})
    inside = path / "runs" if (path / "runs").is_dir() else path
    folders = sorted(folder for folder in inside.iterdir() if _is_run(folder))
    if not folders:
        return None
    sweeps = sorted({file.resolve() for file in (path / "sweeps").glob(f"*/{SWEEP_FILE}")})
    if len(sweeps) == 1:
        # One sweep and nothing else: in its order and under its name.
        sweep = _sweep(sweeps[0].parent, notes)
        if {folder.name for folder in folders} == {folder.name for folder in sweep.folders}:
            return sweep
    return Found(name, dict.fromkeys(folders))


def _is_run(folder: Path) -> bool:
    return any((folder / file).is_file() for file in (RECORDS, CONFIG))


def _sweep(path: Path, notes: list[str]) -> Found:
    value = read_json(path / SWEEP_FILE)
    entries = (value or {}).get("runs")
    named = [
        entry
        for entry in (entries if isinstance(entries, list) else [])
        if isinstance(entry, dict) and isinstance(entry.get("run_id"), str)
    ]
    ids = [entry["run_id"] for entry in named]
    safe = [run_id for run_id in ids if RUN_ID.fullmatch(run_id)]
    if not safe:
        raise UserError(f"{path / SWEEP_FILE}: names no runs; give the folders of the runs instead")
    if len(safe) < len(ids):
        notes.append(f"{path / SWEEP_FILE}: {len(ids) - len(safe)} entries are no run ids")
    runs = path.parents[1] / "runs"
    name = path.name
    gone = [run_id for run_id in safe if not (runs / run_id).is_dir()]
    if gone:
        notes.append(f"sweep {plain(name)}: not begun or deleted, left out: {few(gone)}")
    asked: dict[Path, int | None] = {runs / run_id: None for run_id in safe if run_id not in gone}
    for entry in named:
        folder, samples = runs / entry["run_id"], entry.get("samples")
        # Asked for several numbers of samples, a run stands for the most of them.
        if folder in asked and isinstance(samples, int):
            asked[folder] = max(samples, asked[folder] or 0)
    return Found(name, asked, name, tuple(search_sentences(path)))


def few(names: Sequence[str], limit: int = 8) -> str:
    """The first `limit` names, and how many more there are."""
    shown = ", ".join(plain(name) for name in names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"
