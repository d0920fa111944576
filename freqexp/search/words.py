"""A search in words, as a table, and as the file beside its sweep."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from freqexp.results.power import least_samples
from freqexp.results.search_file import write_search
from freqexp.search.outcome import Fall, Look, Outcome, Probe, falls
from freqexp.search.plan import RHO, Plan


def note_of(plan: Plan, name: str) -> str:
    """What is searched, and whether so few samples can show anything."""
    low, high = plan.values[0], plan.values[-1]
    said = (
        f"search {name}: {plan.budget} from {low:g} to {high:g}, {len(plan.values)} values, "
        f"at most {plan.probes} probes of up to {plan.samples[-1]} samples"
    )
    needed = least_samples(plan.margin, plan.level(len(plan.samples) - 1))
    if needed > plan.samples[-1]:
        said += f"\nfew samples: {_too_few(plan, needed)}"
    return said


def _too_few(plan: Plan, needed: int) -> str:
    return (
        f"{plan.samples[-1]} can't show non-inferiority within {plan.margin:g} unless answers "
        f"improve; where no score changes it takes {needed}"
    )


def look_line(plan: Plan, value: float, look: Look) -> str:
    """One look, for the log."""
    return f"{plan.budget}={value:g}: {_seen(look)}: {look.verdict}"


def _seen(look: Look) -> str:
    if look.delta is None:
        return f"n={look.pairs}"
    return f"n={look.pairs}, difference {look.delta:+z.3f} {_interval(look)}"


def _interval(look: Look) -> str:
    if look.low is None or look.high is None:
        return "[no interval]"
    return f"[{look.low:+z.3f}, {look.high:+z.3f}]"


def table(outcome: Outcome) -> str:
    """A row a probe, from the smallest budget to the largest."""
    name: str = outcome.plan.budget
    rows = [(name, "accuracy", "baseline", "difference", "n", "verdict", "run")]
    for probe in sorted(outcome.probes, key=lambda probe: probe.value):
        look = probe.last
        difference = "-" if look.delta is None else f"{look.delta:+z.3f} {_interval(look)}"
        rows.append(
            (
                f"{probe.value:g}",
                _score(look.accuracy),
                _score(look.baseline_accuracy),
                difference,
                str(look.pairs),
                look.verdict,
                probe.run_id,
            )
        )
    looks = ", ".join(map(str, outcome.plan.samples))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return "\n".join(
        [
            f"{outcome.method}, non-inferiority within {outcome.plan.margin:g}",
            *lines,
            f"intervals: 95 % for all looks at all probes together ({outcome.plan.probes} probes, "
            f"looks at {looks} samples, alpha spent as t^{RHO})",
        ]
    )


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def sentences(outcome: Outcome) -> list[str]:
    """The answer, and what must be known with it."""
    plan = outcome.plan
    said = [_answer(outcome)]
    undecided = [probe for probe in outcome.probes if probe.last.verdict == "undecided"]
    if undecided:
        shown = ", ".join(f"{probe.value:g}" for probe in undecided)
        words = "counts as not shown" if len(undecided) == 1 else "count as not shown"
        said.append(
            f"{outcome.method}, {plan.budget} {shown}: undecided after all samples, which {words}"
        )
        needed = least_samples(plan.margin, plan.level(len(plan.samples) - 1))
        if needed > plan.samples[-1]:
            said.append(f"{outcome.method}, {_too_few(plan, needed)}")
    return said + [_fall(outcome, found) for found in falls(outcome.probes)]


def _answer(outcome: Outcome) -> str:
    plan, answer, below = outcome.plan, outcome.answer, outcome.below
    if answer is None:
        said = (
            f"{outcome.method}: no {plan.budget} from {plan.values[0]:g} to {plan.values[-1]:g} "
            f"was shown to be non-inferior within {plan.margin:g}"
        )
        return (
            said if below is None else f"{said}; the largest, {below.value:g}, {_not_shown(below)}"
        )
    said = (
        f"{outcome.method}: smallest {plan.budget} shown to be non-inferior within "
        f"{plan.margin:g}: {answer.value:g} ({_seen(answer.last)})"
    )
    if below is None:
        return f"{said}, the smallest that was asked for"
    return f"{said}; next below, {below.value:g}, {_not_shown(below)}"


def _not_shown(probe: Probe) -> str:
    inferior = probe.last.verdict == "inferior"
    return f"{'is inferior' if inferior else 'was not shown to be'} ({_seen(probe.last)})"


def _fall(outcome: Outcome, found: Fall) -> str:
    name = outcome.plan.budget
    return (
        f"{outcome.method}: accuracy does NOT RISE with {name}, as a search takes for granted: "
        f"{found.smaller:g} scores {found.more:.3f} [{found.low:.3f}, {found.high:.3f}] more than "
        f"{found.larger:g} on {found.samples} samples; a sweep over {name} shows what was "
        "passed over"
    )


def write_answer(output_dir: Path, outcome: Outcome, *, ended: bool) -> None:
    """Write search.json. Raises UserError when it can't be written."""
    plan, answer = outcome.plan, outcome.answer
    write_search(
        output_dir / "sweeps" / outcome.name,
        {
            "ended": ended,
            "budget": plan.budget,
            "method": outcome.method,
            "margin": plan.margin,
            "values": list(plan.values),
            "samples": list(plan.samples),
            "levels": [plan.level(look) for look in range(len(plan.samples))],
            "answer": answer.value if ended and answer else None,
            "answer_run_id": answer.run_id if ended and answer else None,
            "baseline_run_id": outcome.baseline_run_id,
            "rises": not falls(outcome.probes) if ended else None,
            "sentences": sentences(outcome) if ended else [],
            "probes": [
                {
                    "value": probe.value,
                    "run_id": probe.run_id,
                    "verdict": probe.last.verdict,
                    "looks": [asdict(look) for look in probe.looks],
                }
                for probe in outcome.probes
            ],
        },
    )
