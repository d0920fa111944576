"""Under which conditions runs were made: what differs besides their configuration, and how busy the
machine was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from freqexp.comparing.run import Run
from freqexp.comparing.text import plain
from freqexp.results.summary import whole

SET_ASIDE = "set_aside"
"""Of the settings of generation: those that a checkpoint brings and that did not act."""


def condition_notes(runs: Sequence[Run]) -> list[str]:
    """Faults of their data, and what differs between the runs besides their configuration."""
    notes = _data_notes(runs)
    codes = {str(run.provenance.get("code_hash")) for run in runs}
    if len(codes) > 1:
        notes.append(f"the runs come from {len(codes)} states of the code that can change a score")
    packages: dict[str, set[str]] = {}
    for run in runs:
        versions = run.provenance.get("versions")
        for name, number in (versions if isinstance(versions, dict) else {}).items():
            packages.setdefault(plain(name), set()).add(plain(number))
    differing = [
        f"{name} {', '.join(sorted(numbers))}"
        for name, numbers in sorted(packages.items())
        if len(numbers) > 1
    ]
    if differing:
        notes.append(f"the runs used different versions of {'; '.join(differing)}")
    notes += _time_notes(runs) + _generation_notes(runs)
    if any(run.provenance.get("dirty") for run in runs):
        notes.append("some runs come from code with changes that were not committed")
    return notes


def _time_notes(runs: Sequence[Run]) -> list[str]:
    """What makes the times of these runs hard to compare."""
    notes = []
    threads = {str(run.provenance["threads"]) for run in runs if run.provenance.get("threads")}
    if len(threads) > 1:
        listed = ", ".join(sorted(map(plain, threads)))
        notes.append(f"times: the runs used different numbers of threads ({listed})")
    busy = sum(map(_was_busy, runs))
    if busy:
        notes.append(
            f"times: in {busy} of {len(runs)} runs the machine had more to do than it has "
            "processors, their milliseconds may be too many"
        )
    return notes


def _was_busy(run: Run) -> bool:
    load, cpus = run.provenance.get("load"), run.provenance.get("cpus")
    found = load.values() if isinstance(load, dict) else ()
    return isinstance(cpus, int) and any(isinstance(x, int | float) and x > cpus for x in found)


def _generation_notes(runs: Sequence[Run]) -> list[str]:
    """How the models generated: every setting in effect, one sentence for each way; what a
    checkpoint asked for in vain; and what does not go with copying.
    """
    ways: dict[str, set[str]] = {}
    aside: dict[str, set[str]] = {}
    penalised = set()
    for run in runs:
        settings = run.provenance.get("generation")
        if not isinstance(settings, dict) or not settings:
            continue
        acting = {name: value for name, value in settings.items() if name != SET_ASIDE}
        ways.setdefault(_said(acting), set()).add(run.model)
        left = settings.get(SET_ASIDE)
        if isinstance(left, dict) and left:
            aside.setdefault(_said(left), set()).add(run.model)
        penalty = acting.get("repetition_penalty")
        if isinstance(penalty, int | float) and penalty > 1:
            penalised.add(run.model)
    notes = [f"generation of {', '.join(sorted(ways[said]))}: {said}" for said in sorted(ways)]
    notes += [
        f"generation of {', '.join(sorted(aside[said]))}: the checkpoint's {said} was set aside"
        for said in sorted(aside)
    ]
    if penalised:
        notes.append(
            f"{', '.join(sorted(penalised))}: a repetition penalty above 1 makes copying, which "
            "these scores are of, harder (model.repetition_penalty=1.0)"
        )
    return notes


def _said(settings: Mapping[str, Any]) -> str:
    return plain(", ".join(f"{name}={value}" for name, value in sorted(settings.items())))


def _data_notes(runs: Sequence[Run]) -> list[str]:
    """How many samples of files have a fault, as the last start of a run counted them."""
    notes = []
    for run in runs:
        resumed = run.provenance.get("resumed")
        starts = [run.provenance, *(resumed if isinstance(resumed, list) else [])]
        counts = [s["data_faults"] for s in starts if isinstance(s, Mapping) and "data_faults" in s]
        counted = counts[-1] if counts and isinstance(counts[-1], Mapping) else {}
        faulty, samples = whole(counted.get("faulty")), whole(counted.get("samples"))
        if faulty:
            what = [
                f"{plain(name)} {number}"
                for name, number in counted.items()
                if name not in ("samples", "faulty") and whole(number)
            ]
            notes.append(
                f"{faulty} of the {samples} samples read with {run.needles} needles have a fault"
                f" ({', '.join(what)}); python -m freqexp.benchmarks.check says which"
            )
    return list(dict.fromkeys(notes))
