"""Whether a method beats the simple controls at no more cost, on each budget it saves on."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from freqexp.comparing.budgets import BUDGETS, Axis, Point, points
from freqexp.comparing.comparison import Comparison, Estimate, Row
from freqexp.comparing.deltas import shared_pairs
from freqexp.comparing.draws import pooled_rows
from freqexp.comparing.rivals import is_control, meets
from freqexp.results.draws import is_drawn, without_draws
from freqexp.results.record import mean
from freqexp.results.stats import ALPHA, holm, permutation_p_value

_COSTS = (
    *("stored_bytes", "lossless_bytes", "png_bytes"),
    *("decoder_tokens", "mean_layer_tokens", "kv_cache_bytes"),
)

VERDICTS = ("passes", "at chance", "ahead", "fails", "untested", "saves nothing")
"""From the best to what says least; see `Gate`."""


@dataclass(frozen=True)
class Gate:
    """What became of a method's contest with the controls of its group on one budget.

    method: see `method_of`. budget: the axis' title, "" when none was measured.
    verdict: "passes": some setting is surely above the best control that costs no more, and surely
    above chance. "at chance": surely above the control, not surely above chance. "ahead": its mean
    is above the control's. "fails": not even that. "untested": no control costs as little. "saves
    nothing": no setting costs less than no compression, so there is nothing to win.
    """

    group: int
    method: str
    budget: str
    verdict: str
    reason: str


@dataclass(frozen=True)
class _Look:
    """A setting beside the best control that costs no more: the paired difference of the means, and
    p values of being above it and above chance. A mean that is not above has 1.
    """

    axis: Axis
    point: Point
    rival: Row
    lead: float
    p_control: float
    p_chance: float

    @property
    def runs(self) -> tuple[str, str]:
        return self.point.row.run.run_id, self.rival.run.run_id


def method_of(row: Row) -> str:
    """The method that a run is of, with the options that differ from their defaults: with others,
    or with the question seen, it is another method. Keep ratio and profile say how much it may
    take.
    """
    run = row.run
    options = without_draws(run.options) if is_drawn(run.compressor) else run.options
    return f"{run.compressor}{run.option_words(options)}"


def gates(comparison: Comparison) -> list[Gate]:
    """One for each group, method and budget that the method acts on; the controls have none.

    Holm's correction runs over all looks of a group: every setting beside every control it meets.
    """
    found = []
    for group in range(len(comparison.groups)):
        rows = _on_shared_samples(pooled_rows(comparison.of_group(group)))
        order = list(dict.fromkeys(method_of(row) for row in rows))
        found += sorted(_of_group(group, rows), key=lambda gate: order.index(gate.method))
    return found


def _on_shared_samples(rows: Sequence[Row]) -> list[Row]:
    """The rows with costs and accuracies over the samples that all of them scored: runs of
    different numbers of samples differ in cost without costing more.
    """
    shared = set.intersection(*(set(row.run.scored) for row in rows))
    if not shared:
        return list(rows)
    found = []
    for row in rows:
        records = [row.run.records[key] for key in sorted(shared)]
        means = {name: mean(getattr(record, name) for record in records) for name in _COSTS}
        accuracy = Estimate(value=mean(record.score for record in records) or 0.0)
        found.append(replace(row, means=means, accuracy=accuracy))
    return found


def overall(found: Sequence[Gate]) -> dict[tuple[int, str], str]:
    """(group, method) -> the best verdict it has on any budget."""
    best: dict[tuple[int, str], str] = {}
    for gate in sorted(found, key=lambda gate: VERDICTS.index(gate.verdict)):
        best.setdefault((gate.group, gate.method), gate.verdict)
    return best


def _of_group(group: int, rows: Sequence[Row]) -> list[Gate]:
    contests: list[tuple[str, Axis, list[_Look]]] = []
    found: list[Gate] = []
    for method in dict.fromkeys(method_of(row) for row in rows if not is_control(row.run)):
        known = False
        for axis in BUDGETS:
            ours = [p for p in points(rows, axis) if method_of(p.row) == method]
            base = [p.cost for p in points(rows, axis) if p.row.run.is_baseline]
            if not ours or not axis.acts([p.row for p in ours], rows):
                continue
            known = True
            saving = [p for p in ours if not base or p.cost < max(base)]
            looks = [look for p in saving if (look := _look(axis, p, rows)) is not None]
            if looks:
                contests.append((method, axis, looks))
            elif saving:
                reason = "no control that costs as little was run"
                found.append(Gate(group, method, axis.title, "untested", reason))
            else:
                least = min(ours, key=lambda p: p.cost)
                reason = (
                    f"{axis.amount(least.cost)} at least, uncompressed {axis.amount(max(base))}"
                )
                found.append(Gate(group, method, axis.title, "saves nothing", reason))
        if not known:
            found.append(Gate(group, method, "", "untested", "no budget was measured"))
    return found + _judged(group, contests)


def _look(axis: Axis, point: Point, rows: Sequence[Row]) -> _Look | None:
    ours = point.row.run
    rivals = [p for p in points(rows, axis) if meets(ours, p.row.run) and p.cost <= point.cost]
    if not rivals:
        return None
    rival = max(rivals, key=lambda p: p.accuracy).row
    pairs, _ = shared_pairs(ours, rival.run)
    leads = [(a.score or 0.0) - (b.score or 0.0) for a, b in pairs]
    above = [(a.score or 0.0) - a.chance for a, _ in pairs if a.chance is not None]
    # A benchmark without a chance level has no such floor.
    p_chance = _p_above(tuple(above)) if above else 0.0
    return _Look(axis, point, rival, mean(leads) or 0.0, _p_above(tuple(leads)), p_chance)


@functools.lru_cache(maxsize=2_048)
def _p_above(differences: tuple[float, ...]) -> float:
    """Two-sided p value of differences whose mean is above zero, 1 of others.

    Remembered: two runs may meet on several budgets, and a report asks in several places.
    """
    return permutation_p_value(differences) if (mean(differences) or 0.0) > 0 else 1.0


def _judged(group: int, contests: Sequence[tuple[str, Axis, list[_Look]]]) -> list[Gate]:
    looks = [look for _, _, found in contests for look in found]
    # Where the same two runs meet on several budgets it is one look at the data.
    control = _holm({look.runs: look.p_control for look in looks})
    both = _holm({look.runs: max(look.p_control, look.p_chance) for look in looks})
    found = []
    for method, axis, mine in contests:
        best = min(mine, key=lambda look: (both[look.runs], control[look.runs], -look.lead))
        if both[best.runs] < ALPHA:
            verdict = "passes"
        elif any(control[look.runs] < ALPHA for look in mine):
            verdict = "at chance"
        else:
            verdict = "ahead" if any(look.lead > 0 for look in mine) else "fails"
            best = max(mine, key=lambda look: look.lead)
        reason = (
            f"{best.point.row.run.title()} against {best.rival.run.title()} at "
            f"{axis.amount(best.point.cost)}: {best.lead:+z.3f}, p {control[best.runs]:.2g} "
            f"(Holm, {len(control)} looks)"
        )
        found.append(Gate(group, method, axis.title, verdict, reason))
    return found


def _holm(p_values: dict[tuple[str, str], float]) -> dict[tuple[str, str], float]:
    adjusted = holm(list(p_values.values()))
    return {runs: 1.0 if p is None else p for runs, p in zip(p_values, adjusted, strict=True)}
