"""Runs and sweeps from their files. Reads, never writes, and never believes what a file says."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from freqexp.errors import UserError, fault
from freqexp.files import read_json
from freqexp.provenance import CONFIG, PROVENANCE
from freqexp.record import RECORDS, Record, mean, parse_record, settle
from freqexp.report.text import plain
from freqexp.summary import SUMMARY

SWEEP_FILE = "sweep.json"
DEFAULT_OUTPUTS = "outputs"
SHORTEST_PREFIX = 4
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_LINES_NAMED = 5
_LARGEST = 1e18
_LARGEST_CONFIG = 5_000  # values; a saved configuration has about 60


@dataclass(frozen=True, eq=False)
class Run:
    """One run as its files tell it.

    config, provenance: {} when the file is missing or unreadable. summary: None before the run's
    end. records: settled, by sample id; unreadable lines are not among them. identity: model,
    compressor, options, keep_ratio, profile and needles, under a summary's names.
    notes: what was wrong with the files, in sentences.
    """

    folder: Path
    config: Mapping[str, Any]
    provenance: Mapping[str, Any]
    summary: Mapping[str, Any] | None
    records: Mapping[str, Record]
    identity: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    added: bool = False

    @property
    def run_id(self) -> str:
        """The folder's name."""
        return self.folder.name

    def setting(self, *path: str) -> Any:
        """A value of the saved configuration; None where it has none."""
        value: Any = self.config
        for key in path:
            value = value.get(key) if isinstance(value, Mapping) else None
        return value

    @property
    def compressor(self) -> str:
        """The method's name; "?" when no file tells it."""
        return plain(self.identity.get("compressor") or "?")

    @property
    def model(self) -> str:
        """The model's name; "?" when no file tells it."""
        return plain(self.identity.get("model") or "?")

    @property
    def needles(self) -> str:
        """How many needles; "?" when no file tells it."""
        return plain(self.identity.get("needles") or "?")

    @property
    def options(self) -> str:
        """The method's settings that differ from their defaults; "" also when unknown."""
        return plain(self.identity.get("options") or "")

    @property
    def is_baseline(self) -> bool:
        """Whether nothing was compressed."""
        return self.compressor == "none"

    @property
    def keep_ratio(self) -> float | None:
        """The kept share, None where the method does not use it or no file tells it."""
        value = self.identity.get("keep_ratio")
        return float(value) if isinstance(value, int | float) and 0 < value <= 1 else None

    @property
    def profile(self) -> str | None:
        """The profile's name, None where the method does not use it."""
        value = self.identity.get("profile")
        return None if value is None else plain(value)

    @property
    def scored(self) -> dict[str, float]:
        """Scores by sample id; failed samples are not among them."""
        return {key: r.score for key, r in self.records.items() if r.score is not None}

    @property
    def wanted(self) -> int | None:
        """How many samples the run has, or was to have before its end; None when unknown."""
        value = (self.summary or self.config).get("samples")
        return value if isinstance(value, int) else None

    def title(self) -> str:
        """The method with its settings, for people."""
        kept = "" if self.keep_ratio is None else f" keep {self.keep_ratio:g}"
        profile = "" if self.profile is None else f" {self.profile}"
        options = f" ({self.options})" if self.options else ""
        return f"{self.compressor}{kept}{profile}{options}"


@dataclass(frozen=True)
class Loaded:
    """Runs in the order of their sweep, and what was wrong with what was asked for.

    name: for the report's folder. sweep: the sweep's name, when one sweep was asked for.
    """

    name: str
    runs: tuple[Run, ...]
    sweep: str | None = None
    notes: tuple[str, ...] = field(default=())


def load(targets: Sequence[str], outputs: str = DEFAULT_OUTPUTS) -> Loaded:
    """The runs that `targets` name: output folders, sweeps or runs, each by its folder or by its
    name in the folder `outputs`; without any, all of `outputs`.

    The baseline a run was compared with comes along when it lies beside it (`Run.added`).
    Raises UserError for a target that is nothing of this, and when no run is found at all.
    """
    notes: list[str] = []
    folders: dict[Path, None] = {}
    names: list[tuple[str, str | None]] = []
    for target in targets or (outputs,):
        found = _resolve(target, Path(outputs), notes)
        folders.update(dict.fromkeys(found.folders))
        names.append((found.name, found.sweep))
    runs = [run for folder in folders if (run := load_run(folder)) is not None]
    empty = [folder.name for folder in folders if not (folder / RECORDS).is_file()]
    if empty:
        notes.append(f"not begun (no {RECORDS}), left out: {_few(sorted(empty))}")
    if not runs:
        asked = ", ".join(targets or (outputs,))
        raise UserError(fault("runs", asked, f"something with a run in it ({RECORDS})"))
    runs, doubled = _once(runs)
    name, sweep = names[0] if len(names) == 1 else ("-".join(n for n, _ in names)[:80], None)
    return Loaded(name, (*runs, *_missing_baselines(runs)), sweep, (*notes, *doubled))


@dataclass(frozen=True)
class _Found:
    name: str
    folders: tuple[Path, ...]
    sweep: str | None = None


def _resolve(target: str, outputs: Path, notes: list[str]) -> _Found:
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
    if _ID.fullmatch(target):
        if (outputs / "sweeps" / target / SWEEP_FILE).is_file():
            return _sweep((outputs / "sweeps" / target).resolve(), notes)
        if len(target) >= SHORTEST_PREFIX:
            matches = sorted((outputs / "runs").glob(f"{target}*"))
            if len(matches) == 1:
                return _Found(matches[0].name, (matches[0].resolve(),))
            if matches:
                several = _few([match.name for match in matches])
                raise UserError(fault("runs", target, f"one of {several}"))
    allowed = f"a folder, or the name of a sweep or run in {outputs} (--outputs)"
    raise UserError(fault("runs", target, allowed))


def _folder(path: Path, notes: list[str]) -> _Found | None:
    name = path.name
    if (path / SWEEP_FILE).is_file():
        return _sweep(path, notes)
    if any((path / file).is_file() for file in (RECORDS, CONFIG, SUMMARY)):
        return _Found(name, (path,))
    inside = path / "runs" if (path / "runs").is_dir() else path
    folders = sorted(folder for folder in inside.iterdir() if _is_run(folder))
    if not folders:
        return None
    sweeps = sorted((path / "sweeps").glob(f"*/{SWEEP_FILE}"))
    if len(sweeps) == 1:
        # One sweep and nothing else: in its order and under its name.
        sweep = _sweep(sweeps[0].parent, notes)
        if {folder.name for folder in folders} == {folder.name for folder in sweep.folders}:
            return sweep
    return _Found(name, tuple(folders))


def _is_run(folder: Path) -> bool:
    return any((folder / file).is_file() for file in (RECORDS, CONFIG))


def _sweep(path: Path, notes: list[str]) -> _Found:
    value = read_json(path / SWEEP_FILE)
    entries = (value or {}).get("runs")
    ids = [
        entry["run_id"]
        for entry in (entries if isinstance(entries, list) else [])
        if isinstance(entry, dict) and isinstance(entry.get("run_id"), str)
    ]
    safe = [run_id for run_id in ids if _ID.fullmatch(run_id)]
    if not safe:
        raise UserError(f"{path / SWEEP_FILE}: names no runs; give the folders of the runs instead")
    if len(safe) < len(ids):
        notes.append(f"{path / SWEEP_FILE}: {len(ids) - len(safe)} entries are no run ids")
    runs = path.parents[1] / "runs"
    name = path.name
    gone = [run_id for run_id in safe if not (runs / run_id).is_dir()]
    if gone:
        notes.append(f"sweep {plain(name)}: not begun or deleted, left out: {_few(gone)}")
    return _Found(name, tuple(runs / run_id for run_id in safe if run_id not in gone), name)


def load_run(folder: Path) -> Run | None:
    """One run; None when it has no records file yet. Faults of its files become its notes."""
    path = folder / RECORDS
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        return Run(folder, {}, {}, None, {}, notes=(f"{RECORDS}: {error.strerror}",))
    notes: list[str] = []
    records = _records(data, notes)
    config = _config(folder / CONFIG, notes)
    run = Run(
        folder,
        config,
        _object(folder / PROVENANCE, notes) or {},
        _object(folder / SUMMARY, notes),
        settle(records),
    )
    return _checked(replace(run, identity=_identity(run)), notes)


def _records(data: bytes, notes: list[str]) -> list[Record]:
    """Every line that is a record; the others are counted and named, and score nothing."""
    records, bad, first_fault = [], [], ""
    *lines, torn = data.split(b"\n")
    for number, line in enumerate(lines, start=1):
        try:
            records.append(_record(line))
        except (ValueError, RecursionError) as error:
            bad.append(number)
            first_fault = first_fault or plain(error, 200)
    if torn:
        try:
            records.append(_record(torn))
        except (ValueError, RecursionError):
            notes.append("its last line is torn (the run was killed), left out")
    if bad:
        shown = ", ".join(map(str, bad[:_LINES_NAMED])) + (", ..." if bad[_LINES_NAMED:] else "")
        notes.append(
            f"{len(bad)} lines of {RECORDS} are no records (line {shown}: {first_fault}); these "
            "samples count as missing"
        )
    scores: dict[str, set[float]] = {}
    for record in records:
        if record.score is not None:
            scores.setdefault(record.sample_id, set()).add(record.score)
    repeated = Counter(r.sample_id for r in records if r.score is not None)
    doubled = sum(count > 1 for count in repeated.values())
    if doubled:
        differing = sum(len(found) > 1 for found in scores.values())
        notes.append(
            f"{doubled} samples are recorded twice ({differing} with another score); the "
            "first record counts"
        )
    return records


def _record(line: bytes) -> Record:
    """`parse_record` for files that may have been edited: 1e999 is JSON, too, and infinite."""
    record = parse_record(line.decode("utf-8"))
    for name, value in vars(record).items():
        if type(value) in (int, float) and not -_LARGEST < value < _LARGEST:
            raise ValueError(f"field {name} is out of range")
    return record


def _config(path: Path, notes: list[str]) -> Mapping[str, Any]:
    """The saved configuration as a plain mapping, whatever version wrote it."""
    import yaml

    try:
        # The C loader where there is one: a hundred configurations take seconds without it.
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        value = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        reason = "missing" if isinstance(error, FileNotFoundError) else "cannot be read"
        notes.append(f"{CONFIG} is {reason}" if reason == "missing" else f"{CONFIG} {reason}")
        return {}
    if not isinstance(value, dict) or not _is_small(value):
        notes.append(f"{CONFIG} holds no configuration")
        return {}
    return value


def _is_small(value: object) -> bool:
    """Whether a parsed file has a configuration's size; a few lines of YAML aliases can stand for
    billions of values.
    """
    waiting, seen = [value], 0
    while waiting and seen <= _LARGEST_CONFIG:
        item = waiting.pop()
        seen += 1
        if isinstance(item, dict):
            waiting += item.values()
        elif isinstance(item, list | set | tuple):
            waiting += item
    return seen <= _LARGEST_CONFIG


def _object(path: Path, notes: list[str]) -> dict[str, Any] | None:
    value = read_json(path)
    if value is None and path.exists():
        notes.append(f"{path.name} cannot be read")
    return value


def _identity(run: Run) -> Mapping[str, Any]:
    """What the run is: as its summary says, before there is one as its configuration does."""
    if run.summary is not None and "compressor" in run.summary:
        return run.summary
    from freqexp.config import from_yaml
    from freqexp.summary import changed_options

    try:
        cfg = from_yaml(run.folder / CONFIG) if run.config else None
    except UserError:
        cfg = None
    if cfg is None:
        # Of another version: its names may be readable all the same.
        return {
            "model": run.setting("model", "name"),
            "compressor": run.setting("compressor", "name"),
            "keep_ratio": run.setting("keep_ratio"),
            "needles": run.setting("needles", "count"),
        }
    return {
        "model": cfg.model.name,
        "compressor": cfg.compressor.title,
        "options": changed_options(cfg.compressor),
        "keep_ratio": cfg.keep_ratio if cfg.compressor.uses_keep_ratio else None,
        "profile": cfg.profile.name if cfg.compressor.uses_profile else None,
        "needles": cfg.needles.count,
    }


def _checked(run: Run, notes: list[str]) -> Run:
    """The run with notes on what does not add up."""
    found = len(run.records)
    if run.summary is None:
        of = f" of {run.wanted}" if run.wanted is not None else ""
        notes.append(f"not finished: {found}{of} samples")
    elif run.wanted is not None and found != run.wanted:
        notes.append(f"{SUMMARY} speaks of {run.wanted} samples, {RECORDS} holds {found}")
    said = None if run.summary is None else run.summary.get("accuracy")
    accuracy = mean(run.scored.values())
    if isinstance(said, int | float) and accuracy is not None and abs(said - accuracy) > 1e-9:
        notes.append(
            f"{SUMMARY} says accuracy {said:.4f}, the records {accuracy:.4f} (edited?); the "
            "records count"
        )
    return replace(run, notes=tuple(notes))


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
        if not isinstance(name, str) or name in have or not _ID.fullmatch(name):
            continue
        have.add(name)
        baseline = load_run(run.folder.parent / name)
        if baseline is not None:
            found.append(replace(baseline, added=True))
    return found


def same_settings(run: Run) -> str:
    """A key that runs share when only their compression differs: model, weights, data and seed.

    Paths are not in it; what they name is, by its hash.
    """
    model = run.setting("model")
    needles = run.setting("needles")
    kept = {
        "model": run.model,
        "render": model.get("render") if isinstance(model, Mapping) else None,
        "needles": {key: value for key, value in needles.items() if key != "path"}
        if isinstance(needles, Mapping)
        else run.needles,
        "seed": run.setting("seed"),
        "weights": run.provenance.get("weights_hash"),
        "data": run.provenance.get("data_hash"),
    }
    return repr(kept)


def _few(names: Sequence[str], limit: int = 8) -> str:
    shown = ", ".join(plain(name) for name in names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"
