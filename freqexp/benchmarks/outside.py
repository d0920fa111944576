"""Samples that an installed package makes or reads, and perhaps grades.

A package offers them under a name in the entry-point group `freqexp.benchmarks`: a module, an
object, or a class that needs no arguments, with `load(needles, samples, seed)`, which gives up to
`samples` of `freqexp.nouns.sample.Sample`. More of them only add samples at the end. It may have
`grade(answer, sample)`, which gives a `Grade`; without one answers are graded as MRCR's are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from freqexp.errors import UserError
from freqexp.nouns.sample import Grade, Sample
from freqexp.outside.entries import Entry
from freqexp.outside.offered import BENCHMARK
from freqexp.outside.source import Source


def source_faults(name: str, field: str = BENCHMARK.field) -> list[str]:
    """One line for a name that no package offers, or several; nothing is loaded."""
    return BENCHMARK.faults(name, field, "null, or ")


def source_code(name: str) -> Source:
    """Where a benchmark is written: the package that its entry leads into.

    Raises UserError for one that can't be loaded.
    """
    _loaded(name)
    return BENCHMARK.source(name)


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
        raise BENCHMARK.refused(entry, "a benchmark whose samples can be loaded", error) from error
    if not isinstance(found, Sequence) or not all(isinstance(one, Sample) for one in found):
        raise BENCHMARK.refused(entry, "a benchmark whose `load` gives a list of Sample")
    found = list(found)[:samples]
    if not found or len({one.sample_id for one in found}) < len(found):
        allowed = f"samples, each with an id of its own (it gave {len(found)})"
        raise BENCHMARK.refused(entry, allowed)
    return found


def grader(name: str) -> Callable[[str, Sample], Grade] | None:
    """What grades a benchmark's answers; None where it leaves that to MRCR's grader.

    The grader raises UserError, which names the package, for what is no grade.
    """
    entry, benchmark = _loaded(name)
    own = getattr(benchmark, "grade", None)
    if own is None:
        return None

    def graded(answer: str, sample: Sample) -> Grade:
        found = own(answer, sample)
        if not isinstance(found, Grade) or not 0 <= found.score <= 1:
            raise BENCHMARK.refused(entry, "a `grade` that gives a Grade with a score from 0 to 1")
        return found

    return graded


def _loaded(name: str) -> tuple[Entry, Any]:
    entry, found = BENCHMARK.load(name)
    try:
        benchmark: Any = found() if isinstance(found, type) else found
    except (Exception, SystemExit) as error:
        raise BENCHMARK.refused(entry, "a benchmark that can be loaded", error) from error
    if not callable(getattr(benchmark, "load", None)):
        raise BENCHMARK.refused(entry, "an object with `load(needles, samples, seed)`")
    return entry, benchmark
