"""Samples that an installed package makes or reads, graded as all others are.

A package offers them under a name in the entry-point group `freqexp.benchmarks`: a module, an
object, or a class that needs no arguments, with `load(needles, samples, seed)`, which gives up to
`samples` of `freqexp.nouns.sample.Sample`. More of them only add samples at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from freqexp.errors import UserError, fault
from freqexp.nouns.sample import Sample
from freqexp.outside.entries import BENCHMARKS, Entry, entries
from freqexp.outside.source import Source, module_source

FIELD = "needles.source"


def source_faults(name: str, field: str = FIELD) -> list[str]:
    """One line for a name that no package offers, or several; nothing is loaded."""
    found = _offers(name)
    if len(found) == 1:
        return []
    names = ", ".join(entry.name for entry in entries(BENCHMARKS)) or "none is installed"
    allowed = f"null, or a benchmark of an installed package ({names})"
    if found:
        allowed = f"a name of one benchmark; several have it: {_owners(found)}"
    return [fault(field, name, allowed)]


def source_code(name: str) -> Source:
    """Where a benchmark is written: the package that its entry leads into.

    Raises UserError for one that can't be loaded.
    """
    entry, _ = _loaded(name)
    found = module_source(entry.value.partition(":")[0])
    if found is None:
        raise _refused(entry, "one in a package of its own, with a file")
    return found


def load_from(name: str, needles: Any, samples: int, seed: int) -> list[Sample]:
    """The first `samples` samples. needles: the settings, all of them.

    Raises UserError, which names the package, for what can't be loaded, fails, or gives no samples
    or two of one id.
    """
    entry, benchmark = _loaded(name)
    try:
        found = benchmark.load(needles, samples, seed)
    except UserError:
        raise
    # Other people's code, with exceptions of every type.
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
        raise _refused(entry, f"a benchmark whose samples can be loaded ({why})") from error
    if not isinstance(found, Sequence) or not all(isinstance(one, Sample) for one in found):
        raise _refused(entry, "a benchmark whose `load` gives a list of Sample")
    found = list(found)[:samples]
    if not found or len({one.sample_id for one in found}) < len(found):
        raise _refused(entry, f"samples, each with an id of its own (it gave {len(found)})")
    return found


def _loaded(name: str) -> tuple[Entry, Any]:
    faults = source_faults(name)
    if faults:
        raise UserError(faults[0])
    (entry,) = _offers(name)
    try:
        found: Any = entry.load()
        found = found() if isinstance(found, type) else found
    except (Exception, SystemExit) as error:
        why = f"{type(error).__name__}: {error}"
        raise _refused(entry, f"a benchmark that can be loaded ({why})") from error
    if not callable(getattr(found, "load", None)):
        raise _refused(entry, "an object with `load(needles, samples, seed)`")
    return entry, found


def _offers(name: str) -> list[Entry]:
    return [entry for entry in entries(BENCHMARKS) if entry.name == name]


def _owners(found: Sequence[Entry]) -> str:
    return ", ".join(entry.owner for entry in found)


def _refused(entry: Entry, allowed: str) -> UserError:
    return UserError(fault(FIELD, entry.name, f"{allowed}; this is of {entry.owner}"))
