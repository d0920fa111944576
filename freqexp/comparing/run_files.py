"""The files of one run. Reads, never writes, and never believes what a file says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from freqexp.comparing.run import Run
from freqexp.comparing.text import plain
from freqexp.errors import UserError
from freqexp.files import read_json
from freqexp.results.provenance import CONFIG, PROVENANCE
from freqexp.results.record import Record, first, mean, parse_record, settle
from freqexp.results.record_file import RECORDS
from freqexp.results.summary import SUMMARY

_LINES_NAMED = 5
_LARGEST = 1e18
_LARGEST_CONFIG = 5_000  # values; a saved configuration has about 60


def load_run(folder: Path, samples: int | None = None) -> Run | None:
    """One run; None when it has no records file yet. Faults of its files become its notes.

    samples: only the first so many of the data set, for a sweep that asked for no more; None: all.
    """
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
    settled = settle(records)
    run = Run(
        folder,
        config,
        _object(folder / PROVENANCE, notes) or {},
        _object(folder / SUMMARY, notes),
        settled if samples is None else first(settled, samples),
        asked=samples,
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
    from freqexp.config.budget import acting_budget
    from freqexp.config.saved import from_yaml
    from freqexp.config.title import title_of
    from freqexp.results.summarize import options_of

    try:
        cfg = from_yaml(run.folder / CONFIG) if run.config else None
    except UserError:
        cfg = None
    if cfg is None:
        # Of another version: its names may be readable all the same.
        return {
            "model": run.setting("model", "name"),
            "compressor": run.setting("compressor", "name"),
            **{name: run.setting(name) for name in ("keep_ratio", "keep_tokens", "keep_like")},
            "needles": run.setting("needles", "count"),
        }
    return {
        "model": cfg.model.name,
        "compressor": title_of(cfg),
        "options": options_of(cfg),
        **asdict(acting_budget(cfg)),
        "profile": cfg.profile.name if cfg.compressor.uses_profile else None,
        "needles": cfg.needles.count,
    }


def _checked(run: Run, notes: list[str]) -> Run:
    """The run with notes on what does not add up."""
    found = len(run.records)
    if not run.ended:
        of = f" of {run.wanted}" if run.wanted is not None else ""
        notes.append(f"not finished: {found}{of} samples")
    elif run.wanted is not None and found != run.wanted:
        notes.append(f"{SUMMARY} speaks of {run.wanted} samples, {RECORDS} holds {found}")
    said = run.summary.get("accuracy") if run.summary is not None and run.is_summed_up else None
    accuracy = mean(run.scored.values())
    if isinstance(said, int | float) and accuracy is not None and abs(said - accuracy) > 1e-9:
        notes.append(
            f"{SUMMARY} says accuracy {said:.4f}, the records {accuracy:.4f} (edited?); the "
            "records count"
        )
    return replace(run, notes=tuple(notes))
