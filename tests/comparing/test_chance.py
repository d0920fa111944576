"""What is said of runs that score no more than chance."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from report_runs import record
from scipy import stats

from freqexp.comparing.chance import at_least, chance_sentences, place_chances
from freqexp.comparing.compare import compare
from freqexp.comparing.load import load
from freqexp.results.record import Record

LETTERS = "abcdefghijklmnop"


def write(outputs: Path, records: list[Record]) -> list[str]:
    """The sentences on a run of these records."""
    import json
    from dataclasses import asdict

    from report_runs import write_run

    folder = write_run(outputs, "ours", [record.score for record in records])
    lines = (json.dumps(asdict(replace(r, sample_id=f"s{i}"))) for i, r in enumerate(records))
    (folder / "records.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "summary.json").unlink()
    return chance_sentences(compare(load([str(outputs)])))


def answered(wanted: str, reply: str, **more: Any) -> Record:
    values: dict[str, Any] = {
        "expected": f"pre{wanted}",
        "answer": f"pre{reply}",
        "prefix": "pre",
        "prefix_hit": True,
        "right_place": reply.startswith(wanted[:1]),
        "place_chance": 0.1,
        "place_chars": 1,
        "copied_share": 0.2,
        "derailed": False,
    }
    return record("x", 0.1, **{**values, **more})


def test_a_run_that_begins_right_and_derails(tmp_path: Path) -> None:
    wanted = [f"{LETTERS[i % 16]}bc" for i in range(32)]
    records = [
        answered(text, (text[0] if i < 20 else "z") + " o" * 9, derailed=i < 24)
        for i, text in enumerate(wanted)
    ]
    (sentence,) = write(tmp_path, records)
    assert sentence == (
        "none scores 0.100, below chance 0.250, but begins at the right place in 20 of 32 "
        "(3.2 by chance) and derails in 24: copying breaks, retrieval does not wholly "
        "(fake, 2 needles)"
    )


def test_a_reader_that_always_begins_alike_finds_nothing(tmp_path: Path) -> None:
    """Half of the wanted replies begin with its one word, though few other turns do."""
    wanted = ["i see" if i % 2 else f"{LETTERS[i % 16]}bc" for i in range(64)]
    records = [answered(text, "i i i") for text in wanted]
    hits = sum(bool(found.right_place) for found in records)
    assert at_least(hits, [found.place_chance or 0.0 for found in records]) < 1e-6
    (sentence,) = write(tmp_path, records)
    assert f"begins at the right place in {hits} of 64" in sentence
    assert "derails" not in sentence
    assert sentence.endswith("nothing shows that it finds the turn (fake, 2 needles)")


def test_readers_that_do_not_look_are_not_said_to_find() -> None:
    """Three of a hundred could be by the level of 1 %; the larger chance makes it fewer."""
    generator = random.Random(0)
    sure = 0
    for _ in range(100):
        wanted = [generator.choice("iiithwab") + "x" for _ in range(48)]
        replies = [generator.choice("iiiithwabc") for _ in wanted]
        records = [
            answered(text, reply, place_chance=generator.choice((0.0, 0.2)))
            for text, reply in zip(wanted, replies, strict=True)
        ]
        hits = sum(bool(found.right_place) for found in records)
        sure += at_least(hits, place_chances(records)) < 0.01
    assert sure <= 3


def test_a_missed_prefix_is_said(tmp_path: Path) -> None:
    missed = {"prefix_hit": False, "right_place": None, "place_chance": None, "place_chars": None}
    every = [replace(answered("abc", "abc", **missed), score=0.0) for _ in range(8)]
    (sentence,) = write(tmp_path / "a", every)
    assert "at chance 0.250: it misses the prefix in 8 of 8 answers" in sentence
    some = [*every, answered("abc", "zzz")]
    (sentence,) = write(tmp_path / "b", some)
    assert "0 of 1 (0.1 by chance) and misses the prefix in 8 of 9 answers: nothing" in sentence


def test_another_turn_that_is_copied_often_is_said(tmp_path: Path) -> None:
    records = [answered("abc", "zzz", wrong_turn=1 if i < 2 else None) for i in range(20)]
    (sentence,) = write(tmp_path / "often", records)
    assert "0 of 20 (2.0 by chance) and copies another turn in 2: nothing" in sentence
    (sentence,) = write(tmp_path / "once", records[1:])
    assert "another turn" not in sentence


def test_runs_of_before_are_named_and_runs_above_chance_are_not(tmp_path: Path) -> None:
    (sentence,) = write(tmp_path / "old", [record("x", 0.1), record("x", 0.2)])
    assert "1 runs are not above chance, and were recorded before" in sentence
    assert write(tmp_path / "good", [record("x", 0.9), record("x", 0.8)]) == []
    assert write(tmp_path / "none", [record("x", None)]) == []


def test_a_run_whose_interval_holds_chance_is_at_it(tmp_path: Path) -> None:
    scores = (0.0, 0.1, 0.2, 0.9)
    records = [replace(answered("abc", "zzz"), score=score) for score in scores]
    (sentence,) = write(tmp_path, records)
    assert sentence.startswith("none scores 0.300, at chance 0.250, and begins")


@pytest.mark.parametrize("hits", [0, 1, 5, 20])
def test_equal_chances_are_binomial(hits: int) -> None:
    assert at_least(hits, [0.3] * 20) == pytest.approx(stats.binom.sf(hits - 1, 20, 0.3))


def test_unequal_chances_by_hand() -> None:
    assert at_least(1, [0.5, 0.2]) == pytest.approx(1 - 0.5 * 0.8)
    assert at_least(2, [0.5, 0.2]) == pytest.approx(0.1)
    assert at_least(1, [1.0]) == 1
    assert at_least(1, []) == 0
