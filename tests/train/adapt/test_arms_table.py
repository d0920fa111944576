"""The table of a comparison of arms: what stands in it, and against whom the best is held."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from report_runs import write_run
from safetensors.numpy import save_file

from freqexp.comparing.run import Run
from freqexp.comparing.run_files import load_run
from freqexp.comparing.text import markdown as escaped
from freqexp.composing.compose import compose
from freqexp.config.identity import run_id
from freqexp.train.adapt import arms
from freqexp.train.adapt.arms import ArmsConfig
from freqexp.train.adapt.arms_table import (
    HEADS,
    Arm,
    arms_table,
    best_learned,
    markdown,
    origin,
    read_arm,
    show,
    to_beat,
)

GOOD, MIDDLE, BAD = [1.0, 0.9] * 20, [0.7, 0.5] * 20, [0.1, 0.3] * 20


def of_run(outputs: Path, name: str, scores: Sequence[float], tokens: int = 72) -> Run:
    folder = write_run(
        outputs,
        name,
        scores,
        vision_tokens_out=tokens,
        stored_bytes=190,
        codebook_bytes=30,
        pages=2,
    )
    run = load_run(folder)
    assert run is not None
    return run


def of_arm(
    outputs: Path, name: str, scores: Sequence[float], held: float = 0.5, tokens: int = 72
) -> Arm:
    learned = name.startswith("learned")
    before = of_run(outputs, f"{name}-before", BAD, tokens)
    adapted = of_run(outputs, f"{name}-after", scores, tokens)
    return Arm(name, learned, held, before, adapted, of_run(outputs, f"{name}-whole", GOOD, 144))


def cells(arm: Arm, arms: Sequence[Arm]) -> dict[str, str]:
    found = arms_table("2 needles", arms)
    return dict(zip(HEADS, found.rows[list(arms).index(arm)], strict=True))


def test_a_row_says_what_an_arm_costs_and_reaches(tmp_path: Path) -> None:
    ours, control = of_arm(tmp_path, "learned", GOOD), of_arm(tmp_path, "pool", MIDDLE)
    row = cells(ours, [ours, control])
    assert (row["arm"], row["vision tokens"]) == ("learned", "144 -> 72")
    assert row["bytes a page + codebook"] == "80 + 15"
    assert row["as it was [95 %]"].startswith("0.200 [")
    assert row["adapted [95 %]"].startswith("0.950 [")
    assert row["held out"] == "0.500"
    assert row["lead of the best learned [95 %]"] == "the best learned"
    lead = cells(control, [ours, control])["lead of the best learned [95 %]"]
    assert lead.startswith("+0.350 [+0.3")
    # Half of ours are right to the letter, none of the control's.
    assert row["exact [95 %]"].startswith("0.500 [0.3")
    assert row["its lead in exact answers [95 %]"] == "the best learned"
    other = cells(control, [ours, control])
    assert other["exact [95 %]"].startswith("0.000 [0.000, ")
    assert other["its lead in exact answers [95 %]"].startswith("+0.500 [+0.3")


def test_the_best_is_chosen_by_what_was_held_out_and_not_by_the_scores(tmp_path: Path) -> None:
    lucky = of_arm(tmp_path, "learned_lucky", GOOD, held=0.3)
    better = of_arm(tmp_path, "learned_better", MIDDLE, held=0.6)
    assert best_learned([lucky, better]) is better


def test_the_best_keeps_at_most_half_and_is_learned(tmp_path: Path) -> None:
    more = of_arm(tmp_path, "learned_more", GOOD, held=0.9, tokens=73)
    control = of_arm(tmp_path, "pool", GOOD, held=0.9)
    half = of_arm(tmp_path, "learned_half", BAD, held=0.1)
    assert best_learned([more, control, half]) is half
    assert best_learned([more, control]) is None


def test_what_is_to_beat_is_the_best_control_at_half_of_the_tokens(tmp_path: Path) -> None:
    arms = [
        of_arm(tmp_path, "learned", GOOD),
        of_arm(tmp_path, "pool", MIDDLE),
        of_arm(tmp_path, "random", BAD),
        of_arm(tmp_path, "blank", GOOD, tokens=90),
    ]
    said = to_beat(arms)
    assert said is not None
    assert said.startswith("To beat at half of the tokens: pool, trained alike, with 0.600.")
    assert "Its own difference to itself untrained is known to ±" in said
    assert to_beat(arms[:1]) is None
    once = replace(arms[1], before=None)
    assert to_beat([once]) == said.partition(" Its own")[0]


def test_what_was_not_run_is_a_dash(tmp_path: Path) -> None:
    empty = Arm("merge", False, None, None, None, None)
    ours = of_arm(tmp_path, "learned", GOOD)
    assert set(cells(empty, [ours, empty]).values()) == {"merge", "-"}


def test_both_forms_hold_every_cell(tmp_path: Path) -> None:
    arms = [of_arm(tmp_path, "learned", GOOD), of_arm(tmp_path, "pool", MIDDLE)]
    tables = [(arms_table("2 needles, 40 samples", arms), to_beat(arms))]
    for text, form in ((show(tables), str), (markdown(tables), escaped)):
        assert "2 needles, 40 samples" in text
        assert "To beat at half" in text
        for row in tables[0][0].rows:
            assert all(form(cell) in text for cell in row)


def test_arms_that_were_never_trained_have_rows(tmp_path: Path) -> None:
    config = ArmsConfig(
        out=str(tmp_path),
        needles=[2],
        samples=3,
        arms={"pool": ["compressor=pool", "keep_tokens=72"]},
        run=[f"output_dir={tmp_path}"],
    )
    ((table, said),) = arms.tables(config, ["pool"])
    assert table.title == "2 needles, 3 samples"
    assert [row[0] for row in table.rows] == ["pool"]
    assert said is None


def test_averaging_without_parameters_is_a_control(tmp_path: Path) -> None:
    cfg = compose(["compressor=merge", "samples=3", f"output_dir={tmp_path}"])
    for name, tensors in (("mean", {}), ("map", {"weight": np.ones((2, 2), np.float32)})):
        (tmp_path / name).mkdir()
        save_file(tensors, tmp_path / name / "compressor.safetensors")
    made = {name: read_arm(tmp_path / name, cfg, None, None) for name in ("mean", "map", "none")}
    assert [name for name, arm in made.items() if arm.learned] == ["map"]


def test_where_arms_were_trained_is_said(tmp_path: Path) -> None:
    assert origin([tmp_path / "none"]) == ""
    for name, commit in (("one", "a" * 40), ("two", "a" * 40), ("three", "b" * 40)):
        (tmp_path / name).mkdir()
        said = {"commit": commit, "dirty": name == "three", "versions": {"torch": "2.13.0"}}
        (tmp_path / name / "adapt.json").write_text(json.dumps(said))
    found = origin([tmp_path / name for name in ("one", "two", "three")])
    a, b = "commit aaaaaaa, torch 2.13.0", "commit bbbbbbb and changes, torch 2.13.0"
    assert found == f"Trained at {a} transformers None; {b} transformers None."


@pytest.mark.parametrize("count", [2, 8])
def test_runs_of_the_reader_as_it_was_are_found(tmp_path: Path, count: int) -> None:
    given = ["experiment=learned", "compressor=pool", "keep_tokens=72", f"needles={count}"]
    cfg = compose([*given, "samples=3", f"output_dir={tmp_path}"])
    write_run(tmp_path, run_id(cfg), [1.0, 0.5, 0.0], vision_tokens_out=72)
    config = ArmsConfig(
        out=str(tmp_path / "arms"),
        needles=[count],
        samples=3,
        arms={"pool": given[1:3]},
        run=[f"output_dir={tmp_path}"],
    )
    ((table, _),) = arms.tables(config, ["pool"])
    row = dict(zip(HEADS, table.rows[0], strict=True))
    assert row["as it was [95 %]"].startswith("0.500 [")
    assert row["adapted [95 %]"] == "-"
    # One that has fewer samples than are asked for is a dash.
    ((table, _),) = arms.tables(replace(config, samples=4), ["pool"])
    row = dict(zip(HEADS, table.rows[0], strict=True))
    assert row["as it was [95 %]"] == "-"
