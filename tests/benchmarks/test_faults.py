"""Faults of MRCR samples: found where they are, and nowhere else."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mrcr_data import EXAMPLES, REQUEST

from freqexp.benchmarks.faults import FAULTS, count_faults, faults_of, sample_faults
from freqexp.benchmarks.generate import generate
from freqexp.nouns.sample import Sample, Turn

RIDDLE = Turn("write a riddle about rain", "What falls?")
QUESTION = "Prepend aB3dE6gH00 to the {} (1 indexed) poem about tapirs. Do not include any other."


def poem(number: int) -> Turn:
    return Turn(REQUEST, f"poem {number}")


def sample(*turns: Turn, wanted: str = "poem 2", asked: str = "2nd", needles: int = 2) -> Sample:
    prefix = "aB3dE6gH00"
    return Sample("x", needles, "", turns, QUESTION.format(asked), prefix + wanted, prefix)


SOUND = sample(poem(1), RIDDLE, poem(2))
FIRST = Turn(f"{EXAMPLES}\n\n{REQUEST}", "poem 1")


CASES: dict[str, tuple[Sample, list[str]]] = {
    "sound": (SOUND, []),
    "needle after the examples": (sample(FIRST, RIDDLE, poem(2)), []),
    "wanted after the examples": (sample(FIRST, poem(2), wanted="poem 1", asked="1st"), []),
    "other after the examples": (
        sample(Turn(f"{EXAMPLES}\n\n{RIDDLE.user}", "x"), poem(1), poem(2)),
        [],
    ),
    "alone after the examples": (sample(FIRST, wanted="poem 1", asked="1st", needles=1), []),
    "asked in the examples alone": (
        sample(Turn(f"User: {REQUEST}\nAssistant: x\n\nwrite a joke", "x"), poem(1), poem(2)),
        [],
    ),
    "white space": (sample(Turn(f" {REQUEST}\n", "poem 1"), Turn(REQUEST, "poem 2\n")), []),
    "other capitals and a full stop": (
        replace(
            SOUND,
            turns=tuple(
                Turn("Write a Poem about tapirs.", t.assistant) for t in (poem(1), poem(2))
            ),
        ),
        [],
    ),
    "a longer request that ends alike": (
        sample(Turn("write a short poem about tapirs", "x"), poem(1), poem(2)),
        [],
    ),
    "a later message that ends in the request": (
        sample(poem(1), Turn(f"Did you read this?\n{REQUEST}", "x"), poem(2)),
        [],
    ),
    "the reply stands under another request, too": (
        sample(Turn(RIDDLE.user, "poem 2"), poem(1), poem(2)),
        [],
    ),
    "two equal needles": (sample(poem(2), poem(2)), []),
    "another question": (replace(SOUND, question="What was the second poem?"), []),
    "no such reply": (sample(poem(1), poem(3)), ["no_reply"]),
    "the reply of another request": (
        sample(poem(1), poem(3), Turn(RIDDLE.user, "poem 2")),
        ["no_reply"],
    ),
    "no turns": (sample(), ["no_reply"]),
    "too many": (sample(poem(1), poem(2), poem(3)), ["other_count"]),
    "too few": (sample(FIRST, wanted="poem 1", asked="1st"), ["other_count"]),
    "one more before": (sample(poem(0), poem(1), poem(2)), ["other_count", "other_place"]),
    "one more after the examples": (
        sample(replace(FIRST, assistant="poem 0"), poem(1), poem(2)),
        ["other_count", "other_place"],
    ),
    "another place": (sample(poem(2), poem(1)), ["other_place"]),
    "too far": (sample(poem(1), poem(2), asked="9th"), ["other_place"]),
    "none": (sample(poem(1), poem(2), asked="0th"), ["other_place"]),
    "count without a readable question": (
        replace(sample(poem(1), poem(2), poem(3)), question="The second one, please."),
        ["other_count"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_each_fault_is_found_and_no_other(case: str) -> None:
    asked, faults = CASES[case]
    assert list(sample_faults(asked)) == faults


def test_what_was_found_is_said() -> None:
    found = sample_faults(sample(poem(0), poem(1), poem(2)))
    assert found["other_count"] == f"'{REQUEST}' is asked 3 times, n_needles says 2"
    assert found["other_place"] == "the wanted reply is number 3, asked for is number 2"
    assert sample_faults(sample(poem(1)))["no_reply"].endswith("is nowhere in the conversation")


def test_counts_are_of_samples_and_of_each_fault() -> None:
    several = sample(poem(0), poem(1), poem(2))
    samples = [SOUND, several, replace(SOUND, sample_id="y"), sample(poem(1))]
    assert count_faults(samples) == {
        "samples": 4,
        "faulty": 3,
        "no_reply": 1,
        "other_count": 1,
        "other_place": 1,
        "repeated": 1,
    }
    assert count_faults([]) == dict.fromkeys(["samples", "faulty", *FAULTS], 0)
    assert [bool(faults) for _, faults in faults_of(samples)] == [False, True, True, True]


@settings(max_examples=12, deadline=None)
@given(
    form=st.sampled_from(["short", "long"]),
    count=st.sampled_from([2, 4, 8]),
    seed=st.integers(0, 99),
)
def test_generated_samples_are_sound_until_something_is_done_to_them(
    form: str, count: int, seed: int
) -> None:
    (made,) = generate(count, 1, seed, form, turns=2 * count)
    assert sample_faults(made) == {}
    rng = random.Random(seed)
    wanted = made.answer.removeprefix(made.prefix)
    (place,) = (n for n, turn in enumerate(made.turns) if turn.assistant == wanted)
    request = made.turns[place].user
    # One more needle, before or after the wanted one.
    extra = rng.randint(0, len(made.turns))
    more = (*made.turns[:extra], Turn(request, "another"), *made.turns[extra:])
    before = {"other_place"} if extra <= place else set()
    assert set(sample_faults(replace(made, turns=more))) == {"other_count", *before}
    # The wanted turn is gone.
    fewer = made.turns[:place] + made.turns[place + 1 :]
    assert set(sample_faults(replace(made, turns=fewer))) == {"no_reply"}
    # The number in the column is another.
    assert set(sample_faults(replace(made, needles=count + 1))) == {"other_count"}
