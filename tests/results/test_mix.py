from __future__ import annotations

from typing import Any

import pytest

from freqexp.results.mix import KINDS, RATES, kind, mix, rates
from freqexp.results.record import Record


def record(score: float | None = 0.2, **more: Any) -> Record:
    values: dict[str, Any] = {"prefix_hit": True, "copied_share": 0.3, "derailed": False}
    error = "broke" if score is None else None
    return Record(
        sample_id="a",
        needles=2,
        bucket="",
        expected="x",
        score=score,
        error=error,
        **{**values, **more},
    )


CASES = [
    (record(1.0, derailed=True, right_place=True), "exact"),
    (record(0.0, prefix_hit=False, wrong_turn=2, derailed=True), "prefix missed"),
    (record(0.5, wrong_turn=2), "near"),
    (record(0.49, wrong_turn=0, right_place=True, derailed=True), "another turn copied"),
    (record(right_place=True, derailed=True), "derailed after the right start"),
    (record(right_place=True), "drifted after the right start"),
    (record(right_place=False, derailed=True), "elsewhere"),
    (record(right_place=False), "elsewhere"),
    (record(copied_share=None, derailed=None), "not recorded"),
    # What the score itself says is known of old records, too.
    (record(0.7, copied_share=None, derailed=None), "near"),
    (record(0.0, prefix_hit=False, copied_share=None, derailed=None), "prefix missed"),
]


@pytest.mark.parametrize(("found", "expected"), CASES)
def test_an_answer_is_the_first_that_holds(found: Record, expected: str) -> None:
    assert kind(found) == expected


def test_the_mix_counts_every_answer_once() -> None:
    counted = mix(found for found, _ in CASES)
    assert list(counted) == list(KINDS)
    assert sum(counted.values()) == len(CASES)
    assert (counted["elsewhere"], counted["exact"]) == (2, 1)
    assert mix([]) == dict.fromkeys(KINDS, 0)


def test_rates_are_of_what_was_measured() -> None:
    old = record(copied_share=None, derailed=None)
    missed = record(0.0, prefix_hit=False, wrong_turn=1, wrong_needle=False)
    placed = [
        record(right_place=True, place_chance=0.5, copied_share=0.6, derailed=True),
        record(right_place=False, place_chance=0.1, wrong_turn=3, wrong_needle=True),
        record(right_place=False, place_chance=None),
    ]
    found = rates([old, missed, *placed])
    assert found == {
        "right_place_rate": pytest.approx(1 / 3),
        "place_chance": pytest.approx(0.3),
        "copied_share": pytest.approx(1.5 / 4),
        "derailed_rate": 0.25,
        "wrong_turn_rate": 0.5,
        "wrong_needle_rate": 0.25,
    }
    assert rates([old]) == rates([]) == dict.fromkeys(RATES)
