"""What the answers of a run are, beside what they score."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from freqexp.results.record import Record, mean

RIGHT = 0.5
"""A sample counts as right from this score on."""

EXACT = "exact"
MISSED = "prefix missed"
NEAR = "near"
OTHER_TURN = "another turn copied"
DERAILED = "derailed after the right start"
DRIFTED = "drifted after the right start"
ELSEWHERE = "elsewhere"
UNKNOWN = "not recorded"
KINDS = (EXACT, MISSED, NEAR, OTHER_TURN, DERAILED, DRIFTED, ELSEWHERE, UNKNOWN)
"""What an answer can be; it is the first of these that holds.

exact: a score of 1. prefix missed: it scores 0 whatever follows. near: a score of at least 0.5.
another turn copied: `wrong_turn` says which. derailed after the right start: it begins at the right
place and goes on without an end. drifted after the right start: it begins there and ends otherwise.
elsewhere: none of these. not recorded: the run took no score apart, and the score itself doesn't
say.
"""

RATES = (
    "right_place_rate",
    "place_chance",
    "copied_share",
    "derailed_rate",
    "wrong_turn_rate",
    "wrong_needle_rate",
)
"""Names of `rates`, in a summary and in a report's table.csv."""


def kind(record: Record) -> str:
    """The one of `KINDS` that a scored record is."""
    assert record.score is not None
    if record.score == 1:
        return EXACT
    if record.prefix_hit is False:
        return MISSED
    if record.score >= RIGHT:
        return NEAR
    if record.copied_share is None:
        return UNKNOWN
    if record.wrong_turn is not None:
        return OTHER_TURN
    if record.right_place:
        return DERAILED if record.derailed else DRIFTED
    return ELSEWHERE


def mix(scored: Iterable[Record]) -> dict[str, int]:
    """How many of these scored records are of each of `KINDS`, in their order."""
    found = dict.fromkeys(KINDS, 0)
    for record in scored:
        found[kind(record)] += 1
    return found


def rates(scored: Sequence[Record]) -> dict[str, float | None]:
    """Shares and means by `RATES`, of the scored records they were measured in; None without one.

    right_place_rate, place_chance: of the answers with their prefix, how many begin at the right
    place, and how many would if they answered with another turn. wrong_turn_rate,
    wrong_needle_rate: of all answers, how many copy another turn, and one of the same request.
    """
    placed = [record for record in scored if record.right_place is not None]
    apart = [record for record in scored if record.copied_share is not None]
    values = (
        mean(float(bool(record.right_place)) for record in placed),
        mean(record.place_chance for record in placed),
        mean(record.copied_share for record in apart),
        mean(float(bool(record.derailed)) for record in apart),
        mean(float(record.wrong_turn is not None) for record in apart),
        mean(float(record.wrong_needle is True) for record in apart),
    )
    return dict(zip(RATES, values, strict=True))
