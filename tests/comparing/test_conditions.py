from __future__ import annotations

from pathlib import Path

from report_runs import write_run

from freqexp.comparing.compare import compare
from freqexp.comparing.load import load
from freqexp.schemas.tokens import TokenConfig

GREEDY = {"do_sample": False, "repetition_penalty": 1.0}


def notes(outputs: Path) -> list[str]:
    return list(compare(load([str(outputs)])).notes)


def test_how_a_model_generated_is_said_once(tmp_path: Path) -> None:
    write_run(tmp_path, "base", [1.0], provenance={"generation": GREEDY})
    write_run(tmp_path, "ours", [1.0], TokenConfig(), provenance={"generation": GREEDY})
    assert notes(tmp_path) == ["generation of fake: do_sample=False, repetition_penalty=1.0"]
    other = {**GREEDY, "no_repeat_ngram_size": 3}
    write_run(tmp_path, "more", [1.0], TokenConfig(), provenance={"generation": other})
    assert sum("generation of fake" in note for note in notes(tmp_path)) == 2


def test_times_under_other_conditions_are_said_to_be(tmp_path: Path) -> None:
    quiet = {"cpus": 2, "threads": [1], "load": {"started": 0.1, "finished": 1.9}}
    write_run(tmp_path, "base", [1.0], provenance=quiet)
    assert notes(tmp_path) == []
    busy = {**quiet, "threads": [2], "load": {"started": 0.1, "finished": 2.5}}
    write_run(tmp_path, "ours", [1.0], TokenConfig(), provenance=busy)
    found = " ".join(notes(tmp_path))
    assert "different numbers of threads ([1], [2])" in found
    assert "in 1 of 2 runs the machine had more to do" in found


def test_what_is_damaged_or_old_says_nothing(tmp_path: Path) -> None:
    write_run(tmp_path, "base", [1.0])
    odd = {"cpus": "x", "threads": 0, "load": [3], "generation": "y"}
    write_run(tmp_path, "ours", [1.0], TokenConfig(), provenance=odd)
    assert notes(tmp_path) == []


def test_what_a_checkpoint_asked_for_in_vain_and_a_penalty_are_noted(tmp_path: Path) -> None:
    acting = {"max_new_tokens": 9, "repetition_penalty": 1.1}
    said = {"generation": {**acting, "set_aside": {"no_repeat_ngram_size": 3}}}
    write_run(tmp_path, "base", [1.0, 0.0], provenance=said)
    notes = compare(load([str(tmp_path)])).notes
    assert "generation of fake: max_new_tokens=9, repetition_penalty=1.1" in notes
    assert "generation of fake: the checkpoint's no_repeat_ngram_size=3 was set aside" in notes
    assert any("fake: a repetition penalty above 1 makes copying" in note for note in notes)


def test_a_penalty_of_one_is_no_note(tmp_path: Path) -> None:
    said = {"generation": {"max_new_tokens": 9, "repetition_penalty": 1.0}}
    write_run(tmp_path, "base", [1.0, 0.0], provenance=said)
    assert not any("penalty above" in note for note in compare(load([str(tmp_path)])).notes)
