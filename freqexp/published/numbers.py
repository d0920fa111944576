"""Published numbers: what `conf/published/<experiment>.yaml` holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

import yaml

from freqexp.comparing.run import Run
from freqexp.errors import ConfigError, UserError, fault
from freqexp.paths import conf_dir
from freqexp.results.stats import MARGIN

FIGURES = (
    "accuracy",
    "delta",
    "nominal_ratio",
    "tokens_kept",
    "page_kb",
    "page_kb_after",
    "codec_ms_a_page",
)
TESTS = ("no_loss", "gain", "loss", "at_chance", "storage_above")


@dataclass(frozen=True, kw_only=True)
class PublishedCell:
    """One number of a table.

    run: which run it is of, settings of its configuration by their dotted names. samples: how many
    it was averaged over, None where that is not published. of: the baseline's score, for a delta.
    digits: decimals that were printed, for a number without sampling error. any_model: it says
    nothing about a model or its data. machine: it says something about one machine. source: of this
    cell, where it is not the table's.
    """

    name: str
    figure: str
    published: float
    run: Mapping[str, Any]
    samples: int | None = None
    of: float | None = None
    digits: int | None = None
    any_model: bool = False
    machine: bool = False
    source: str | None = None


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A statement that can be tested on any model. value: what `storage_above` is above."""

    text: str
    test: str
    run: Mapping[str, Any]
    value: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Part:
    """A method with some of its steps switched off."""

    name: str
    run: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Published:
    """A table of a paper. models: names of models its numbers are of. files: they are of published
    data files, not of generated samples. runs: settings that all its compressed runs share, by
    which they are known among others. figures: it is pictures.
    """

    title: str
    source: str
    models: tuple[str, ...]
    files: bool
    runs: Mapping[str, Any]
    margin: float = MARGIN
    cells: tuple[PublishedCell, ...] = ()
    claims: tuple[Claim, ...] = ()
    parts: tuple[Part, ...] = ()
    notes: tuple[str, ...] = ()
    figures: bool = False
    path: Path = field(default=Path())


Entry = TypeVar("Entry", PublishedCell, Claim, Part, Published)


def experiments() -> list[str]:
    """Names of the experiments in `conf/experiment`."""
    return sorted(file.stem for file in (conf_dir() / "experiment").glob("*.yaml"))


def load_published(experiment: str) -> Published | None:
    """What was published for an experiment; None when nothing was.

    Raises ConfigError for a file that is not as it should be.
    """
    path = conf_dir() / "published" / f"{experiment}.yaml"
    if not path.is_file():
        return None
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"{path}: can't be read ({' '.join(str(error).split())})") from None
    return parse(value, path)


def parse(value: Any, path: Path) -> Published:
    """The table in a parsed file. Raises ConfigError with every fault."""
    faults: list[str] = []
    table = dict(value) if isinstance(value, dict) else {}
    lists = {
        "cells": _list(PublishedCell, table.pop("cells", None), "cells", faults),
        "claims": _list(Claim, table.pop("claims", None), "claims", faults),
        "parts": _list(Part, table.pop("parts", None), "parts", faults),
    }
    for name in ("models", "notes"):
        table[name] = tuple(table.get(name) or ())
    table["runs"] = dict(table.get("runs") or {})
    published = _made(Published, {**table, **lists, "path": path}, path.name, faults)
    for cell in lists["cells"]:
        if cell.figure not in FIGURES:
            faults.append(fault(f"{cell.name}: figure", cell.figure, ", ".join(FIGURES)))
    for claim in lists["claims"]:
        if claim.test not in TESTS:
            faults.append(fault(f"{claim.text}: test", claim.test, ", ".join(TESTS)))
    if faults or published is None:
        raise ConfigError([f"{path}: {line}" for line in faults])
    return published


def _list(kind: type[Entry], value: Any, place: str, faults: list[str]) -> tuple[Any, ...]:
    entries = value if isinstance(value, list) else []
    made = [_made(kind, entry, f"{place}[{n}]", faults) for n, entry in enumerate(entries)]
    return tuple(entry for entry in made if entry is not None)


def _made(kind: type[Entry], value: Any, place: str, faults: list[str]) -> Entry | None:
    known = [item.name for item in fields(kind)]
    try:
        return kind(**value)
    except TypeError:
        got = sorted(value) if isinstance(value, dict) else value
        faults.append(fault(place, got, f"keys among {', '.join(known)}, the needed ones present"))
        return None


def matches(run: Run, wanted: Mapping[str, Any]) -> bool:
    """Whether a run's saved configuration has these settings."""
    return all(run.setting(*name.split(".")) == value for name, value in wanted.items())
