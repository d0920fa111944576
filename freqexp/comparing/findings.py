"""What stands under the table, in sentences: what was wrong, absent or not beaten."""

from __future__ import annotations

from freqexp.comparing.budgets import AXES
from freqexp.comparing.chance import chance_sentences
from freqexp.comparing.comparison import Comparison, Row
from freqexp.comparing.draws import draw_sentences
from freqexp.comparing.gates import Gate, gates
from freqexp.comparing.questions import question_sentences
from freqexp.comparing.rivals import absent_controls
from freqexp.comparing.run import CUT_APART
from freqexp.comparing.text import plain


def findings(comparison: Comparison) -> list[str]:
    """What stands under the table: what a search found, what was wrong, absent or not beaten. One
    sentence each.
    """
    loaded = comparison.loaded
    found = [*loaded.searched, *loaded.notes, *comparison.notes]
    for gate in gates(comparison):
        found.append(f"{gate_sentence(gate)} ({comparison.groups[gate.group]})")
    found += [sentence for row in comparison.rows for sentence in _cut_sentences(row)]
    found += draw_sentences(comparison.rows)
    found += chance_sentences(comparison)
    found += question_sentences(comparison)
    absent = absent_controls([row.run for row in comparison.rows])
    if absent:
        found.append(f"controls without a run here: {', '.join(absent)}")
    for axis in AXES:
        blind = sum(axis.cost(row) is None for row in comparison.rows)
        if blind and not (axis.newer and blind == len(comparison.rows)):
            found.append(f"{axis.title}: not measured in {blind} of {len(comparison.rows)} runs")
    return [plain(sentence) for sentence in found]


def _cut_sentences(row: Row) -> list[str]:
    """Where many more answers were cut off while thinking than the baseline's, or many fewer."""
    if row.baseline is None:
        return []
    ours, theirs = row.run.cut_share, row.baseline.cut_share
    if abs(ours - theirs) <= CUT_APART:
        return []
    return [
        f"{row.run.title()}: {100 * ours:.0f} % of its answers ended while the model was thinking, "
        f"{100 * theirs:.0f} % of the baseline's: a difference of length that says nothing of what "
        "was read (a larger model.max_new_tokens)"
    ]


def gate_sentence(gate: Gate) -> str:
    """The gate's outcome in words; a method that fails is marked so."""
    words = {
        "passes": "beats the controls",
        "at chance": "beats the controls, but is NOT ABOVE CHANCE",
        "ahead": "is ahead of the controls, but not surely",
        "fails": "DOES NOT BEAT THE CONTROLS",
        "untested": "was not tested against controls",
        "saves nothing": "saves nothing",
    }
    budget = f" by {gate.budget}" if gate.budget else ""
    return f"{gate.method}{budget} {words[gate.verdict]}: {gate.reason}"
