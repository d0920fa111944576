"""Published claims, tested on the runs at hand."""

from __future__ import annotations

from dataclasses import dataclass

from freqexp.comparing.comparison import Comparison, Row
from freqexp.published.numbers import Claim, Published, matches
from freqexp.published.table import measured_on, scored, stored_after
from freqexp.results.intervals import interval as interval_of
from freqexp.results.intervals import measures
from freqexp.results.table import interval


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A claim on the runs at hand. outcome: "holds", "does not hold", "undecided" or "not run"."""

    claim: str
    outcome: str
    where: str
    evidence: str


def findings(published: Published, comparison: Comparison) -> list[Finding]:
    """Every claim on every run it speaks of."""
    found = []
    for claim in published.claims:
        rows = [row for row in comparison.rows if matches(row.run, claim.run)]
        if not rows:
            found.append(Finding(claim=claim.text, outcome="not run", where="-", evidence="-"))
        for row in rows:
            outcome, evidence = judge(claim, row, comparison.margin)
            where = measured_on(row)
            found.append(Finding(claim=claim.text, outcome=outcome, where=where, evidence=evidence))
    return found


def judge(claim: Claim, row: Row, margin: float) -> tuple[str, str]:
    """Whether a claim holds for one run, and the numbers that say so."""
    if claim.test == "storage_above":
        return _storage(row, claim.value)
    if claim.test == "at_chance":
        if row.accuracy is None or row.chance is None or row.accuracy.high is None:
            return "undecided", "not measured"
        low, high = row.accuracy.low or 0.0, row.accuracy.high
        evidence = f"accuracy {interval(row.accuracy.value, low, high)}, chance {row.chance:.3f}"
        return _decide(low <= row.chance, low > row.chance), evidence
    if row.delta is None:
        return "undecided", "no difference to a baseline"
    delta = row.delta
    value, low, high = delta.accuracy.value, delta.accuracy.low or 0.0, delta.accuracy.high or 0.0
    evidence = f"difference {interval(value, low, high, sign=True)}; margin {margin:g}"
    if claim.test == "no_loss":
        return _decide(delta.verdict == "non-inferior", delta.verdict == "inferior"), evidence
    if claim.test == "loss":
        return _decide(high < -margin, delta.verdict == "non-inferior"), evidence
    return _decide(low > 0, high <= 0), evidence


def _decide(holds: bool, fails: bool) -> str:
    return "holds" if holds else "does not hold" if fails else "undecided"


def _storage(row: Row, above: float) -> tuple[str, str]:
    """Whether pages as PNG take `above` times the bytes of what the codec stores, paired."""
    pairs = [
        (float(r.png_bytes), float(after))
        for r in scored(row)
        if r.png_bytes is not None and (after := stored_after(r)) is not None
    ]
    if len(pairs) < 2:
        return "undecided", "bytes not measured"
    ratio = sum(before for before, _ in pairs) / sum(after for _, after in pairs)
    # ratio >= above is before - above * after >= 0, a paired difference.
    low, high = interval_of(measures([b - above * a for b, a in pairs]))
    kept = (
        "its bitstream" if row.means.get("stored_bytes") is not None else "its PNG (no bitstream)"
    )
    evidence = f"page as PNG over {kept}: {ratio:.2f}x, claimed {above:g}x or more"
    return _decide(low >= 0, high < 0), evidence
