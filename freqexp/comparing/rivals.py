"""At which stages a run acts, and which controls its methods must beat.

A method on the KV cache meets controls on the cache, and those that make it smaller by sending
fewer tokens into it. Whether the question was seen when the cache was compressed is another
protocol: the two never meet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from freqexp.comparing.run import CUT_APART, Run
from freqexp.config.title import TEXT
from freqexp.schemas.compressor import COMPRESSORS, controls
from freqexp.schemas.method import StageName
from freqexp.schemas.section import option_name

CONTROLS = controls()
"""Compressors that any method must beat to be worth its name. The baseline is one, too."""

OF_TEXT = (TEXT, f"{TEXT}+truncate")
"""The same conversation as text, whole and its newest turns: controls of runs beside them."""

STAGES: Mapping[str, StageName] = {option_name(option): option.stage for option in COMPRESSORS}


def stages(run: Run) -> frozenset[StageName]:
    """Where the run's methods act, of a combination all places; nothing of names that this version
    does not know.
    """
    names = run.compressor.split("+")
    found = {STAGES[name] for name in names if name in STAGES}
    if run.question is not None:
        found.add("kv")
    return frozenset(found)


def acts_on_cache(run: Run) -> bool:
    """Whether a method acts on the KV cache itself, alone or beside others."""
    return "kv" in stages(run)


def acts_on_cache_alone(run: Run) -> bool:
    """Whether nothing but the KV cache is compressed."""
    return stages(run) == {"kv"}


def is_control(run: Run) -> bool:
    """Whether the run is of a control, text among them, or the baseline."""
    return run.is_baseline or run.compressor in (*CONTROLS, *OF_TEXT)


def meets(ours: Run, control: Run) -> bool:
    """Whether a control (or the baseline) that costs no more is a rival of a method. Where one of
    them was cut off while thinking far more often, it is not.
    """
    if not is_control(control) or abs(ours.cut_share - control.cut_share) > CUT_APART:
        return False
    if not acts_on_cache(control):
        return True
    return acts_on_cache(ours) and ours.question == control.question


def absent_controls(runs: Sequence[Run]) -> list[str]:
    """Controls that none of these runs is of, in words: those on the KV cache where one of them
    acts there, once for each way the question was treated, the others where one acts elsewhere.
    """
    cached = [run for run in runs if acts_on_cache(run)]
    elsewhere = [run for run in runs if not (run.is_baseline or acts_on_cache_alone(run))]
    present = {run.compressor for run in runs}
    found = []
    for name in CONTROLS:
        if STAGES[name] != "kv":
            found += [name] if (elsewhere or not cached) and name not in present else []
            continue
        wanted = {run.question for run in cached}
        lacking = wanted - {run.question for run in cached if run.compressor == name}
        if lacking and lacking == wanted:
            found.append(name)
        else:
            found += [f"{name} with question {asked}" for asked in sorted(map(str, lacking))]
    return found
