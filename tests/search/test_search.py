"""Searches on a fake reader whose accuracy is a known function of the kept share."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from run_fakes import Counting, FakeReader, make_samples

from freqexp.answering.session import Session
from freqexp.comparing.compare import compare
from freqexp.comparing.findings import findings
from freqexp.comparing.load import load
from freqexp.errors import UserError
from freqexp.nouns.sample import Grade, Sample
from freqexp.nouns.vision import CompressedTokens
from freqexp.readers.base import Answer
from freqexp.running.progress import Lines
from freqexp.running.sweep import PointsError, run_points
from freqexp.schemas.needles import NeedlesConfig
from freqexp.schemas.tokens import PoolConfig, TokenConfig
from freqexp.search.bisect import Search
from freqexp.search.outcome import Outcome
from freqexp.search.plan import Plan
from freqexp.search.words import sentences, table

METHOD = TokenConfig()
PLAN = Plan("keep_ratio", 0.25, (0.2, 0.4, 0.6, 0.8, 1.0), (12, 18, 24))
Curve = Callable[[float], float]


class CurveReader(FakeReader):
    """Wrong at a share of samples that the kept share of tokens decides, spread evenly over them.

    answered: (kept share, sample) of each answer.
    """

    def __init__(self, curve: Curve) -> None:
        super().__init__()
        self.curve = curve
        self.answered: list[tuple[float, str]] = []

    def answer(self, question: str, vision: Sequence[CompressedTokens]) -> Answer:
        made = super().answer(question, vision)
        assert made.vision_tokens_in is not None
        assert made.vision_tokens_out is not None
        kept = round(made.vision_tokens_out / made.vision_tokens_in, 1)
        name = question.removesuffix("?")
        self.answered.append((kept, name))
        # Multiples of the golden ratio: any run of them holds a share as evenly as can be.
        place = int(name.removeprefix("sample-")) * 0.6180339887498949 % 1
        right = place < self.curve(kept)
        return replace(made, text="pre" if right else "prex")


def grade(answer: str, sample: Sample) -> Grade:
    return Grade(score=float(answer == "pre"), prefix_hit=True, similarity=0.5, chance=0.25)


def session(reader: CurveReader, data: int | None = None) -> Session:
    """data: how many samples the data set holds. All of them are of one page, drawn once."""

    def load(needles: NeedlesConfig, samples: int, seed: int) -> list[Sample]:
        made = make_samples(needles, samples if data is None else min(samples, data), seed)
        return [replace(sample, turns=made[0].turns) for sample in made]

    counting = Counting()
    counting.reader, counting.samples = reader, load
    return counting.session(grade=grade)


def search(
    config: Any, reader: CurveReader, plan: Plan = PLAN, data: int | None = None, **changes: Any
) -> Outcome:
    made = Search(
        plan,
        config(**{"compressor": METHOD, **changes}),
        session(reader, data),
        Lines(io.StringIO()),
        lambda cfg: [],
    )
    return made.run()


def step(kept: float) -> float:
    return 1.0 if kept >= 0.6 else 0.1


def verdicts(outcome: Outcome) -> dict[float, str]:
    return {probe.value: probe.last.verdict for probe in outcome.probes}


def folder_of(outcome: Outcome, config: Any) -> Path:
    return Path(config().output_dir) / "sweeps" / outcome.name


@pytest.mark.parametrize(
    ("limit", "answer", "below"),
    [(0.2, 0.2, None), (0.4, 0.4, 0.2), (0.6, 0.6, 0.4), (1.0, 1.0, 0.8), (1.1, None, 1.0)],
)
def test_the_answer_is_the_smallest_value_that_loses_nothing(
    config: Any, limit: float, answer: float | None, below: float | None
) -> None:
    # 1.1: the method loses whatever it keeps, as a quantiser of what stays may.
    reader = CurveReader(lambda kept: 1.0 if kept >= limit else 0.1)
    if limit > 1:
        reader.curve = lambda kept, calls=[]: _first_right(reader, calls)  # type: ignore[misc]
    found = search(config, reader)
    assert (None if found.answer is None else found.answer.value) == answer
    assert (None if found.below is None else found.below.value) == below
    assert len(found.probes) <= PLAN.probes == 3
    said = sentences(found)[0]
    if answer is None:
        assert "no keep_ratio from 0.2 to 1 was shown to be non-inferior within 0.25" in said
        assert "the largest, 1, is inferior" in said
    else:
        assert f"smallest keep_ratio shown to be non-inferior within 0.25: {answer:g} (n=" in said
        next_below = "the smallest that was asked for" if below is None else f"{below:g}, is inf"
        assert next_below in said


def _first_right(reader: CurveReader, calls: list[str]) -> float:
    """Right for the first answer to a sample, which is the baseline's, and wrong after it."""
    name = reader.answered[-1][1]
    calls.append(name)
    return 1.0 if calls.count(name) == 1 else 0.1


def test_a_probe_grows_only_until_it_is_decided(config: Any) -> None:
    reader = CurveReader(step)
    found = search(config, reader)
    assert verdicts(found) == {0.6: "non-inferior", 0.4: "inferior"}
    looks = {probe.value: probe.last.samples for probe in found.probes}
    assert looks[0.6] == 24  # what has not changed is shown by many samples,
    assert looks[0.4] == 12  # a great loss by few
    # Warming up answers once more, once a step of growth.
    for value, samples in looks.items():
        names = [name for kept, name in reader.answered if kept == value]
        assert len(set(names)) == samples
        assert len(names) <= samples + PLAN.samples.index(samples) + 1
    assert len({name for kept, name in reader.answered if kept == 1.0}) == 24


def test_undecided_counts_as_not_shown_and_is_said(config: Any) -> None:
    # A loss of as much as the margin.
    found = search(config, CurveReader(lambda kept: 1.0 if kept >= 0.8 else 0.75))
    assert verdicts(found) == {0.6: "undecided", 0.8: "non-inferior", 1.0: "non-inferior"}
    said = sentences(found)
    assert "0.8 (n=24" in said[0]
    assert "next below, 0.6, was not shown to be" in said[0]
    assert any("0.6: undecided after all samples, which counts as not shown" in s for s in said)


def test_accuracy_that_falls_as_the_budget_grows_is_said(config: Any) -> None:
    # 0.5 and 0.7 are looked at and lose; 0.4 would pass and is passed over.
    plan = replace(PLAN, values=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8))
    reader = CurveReader(lambda kept: {0.5: 0.6, 0.7: 0.05}.get(kept, 1.0))
    found = search(config, reader, plan)
    said = [text for text in sentences(found) if "does NOT RISE" in text]
    assert verdicts(found)[0.7] == "inferior"
    assert len(said) == 1
    assert "0.5 scores 0.5" in said[0]
    assert "more than 0.7 on 12 samples" in said[0]
    written = json.loads((folder_of(found, config) / "search.json").read_text())
    assert written["rises"] is False
    assert said[0] in written["sentences"]


def test_a_search_that_was_killed_goes_on_from_its_runs(config: Any) -> None:
    class Killed(BaseException):
        pass

    whole = CurveReader(step)
    expected = search(config, whole, sweep_name="whole", output_dir=config().output_dir + "2")
    reader = CurveReader(step)

    def stop(name: str) -> None:
        if len(reader.answered) == 30:
            raise Killed

    reader.on_answer = stop
    with pytest.raises(Killed):
        search(config, reader, sweep_name="cut")
    file = Path(config().output_dir) / "sweeps" / "cut" / "search.json"
    assert json.loads(file.read_text())["ended"] is False
    assert "has not ended" in findings(compare(load(["cut"], config().output_dir)))[0]
    reader.on_answer = lambda name: None
    found = search(config, reader, sweep_name="cut")
    assert replace(found, name="whole") == expected
    # All but the sample in flight once, and what warms up.
    assert len(reader.answered) <= len(whole.answered) + 2
    before = len(reader.answered)
    assert search(config, reader, sweep_name="cut") == found
    assert len(reader.answered) == before


def test_runs_of_a_sweep_are_shared_and_change_nothing(config: Any) -> None:
    expected = search(config, CurveReader(step), output_dir=config().output_dir + "2")
    reader = CurveReader(step)
    points = [config(compressor=METHOD, keep_ratio=keep, samples=60) for keep in (0.4, 0.6)]
    run_points(points, lambda cfg: [], session=session(reader))
    before = len(reader.answered)
    assert search(config, reader) == expected
    assert len(reader.answered) == before


def test_a_data_set_that_ends_early_ends_a_probe(config: Any) -> None:
    found = search(config, CurveReader(step), data=17)
    shown = {probe.value: [look.pairs for look in probe.looks] for probe in found.probes}
    assert shown[0.6] == [12, 17]
    assert found.answer is None


def test_the_sweep_and_its_report_have_the_answer(config: Any) -> None:
    found = search(config, CurveReader(step))
    folder = folder_of(found, config)
    sweep = json.loads((folder / "sweep.json").read_text())
    samples = {entry["run_id"]: entry["samples"] for entry in sweep["runs"]}
    assert samples == {
        found.baseline_run_id: 24,
        **{probe.run_id: probe.last.samples for probe in found.probes},
    }
    comparison = compare(load([str(folder)]))
    assert findings(comparison)[: len(sentences(found))] == sentences(found)
    assert len(comparison.rows) == len(found.probes) + 1
    written = json.loads((folder / "search.json").read_text())
    assert written["ended"]
    assert (written["answer"], written["rises"]) == (0.6, True)
    assert [probe["value"] for probe in written["probes"]] == [0.6, 0.4]
    assert not any("search" in text for text in findings(compare(load([], config().output_dir))))


def test_the_table_has_a_row_a_probe(config: Any) -> None:
    found = search(config, CurveReader(step))
    lines = table(found).splitlines()
    assert lines[0] == "token, non-inferiority within 0.25"
    assert [line.split()[0] for line in lines[1:4]] == ["keep_ratio", "0.4", "0.6"]
    assert "95 % for all looks at all probes together" in lines[4]


def test_tokens_can_be_counted(config: Any) -> None:
    reader = CurveReader(lambda kept: 1.0)
    plan = replace(PLAN, budget="keep_tokens", values=(1, 2))
    found = search(config, reader, plan)
    assert found.answer is not None
    assert found.answer.value == 1
    assert "smallest keep_tokens shown" in sentences(found)[0]


def test_a_run_that_fails_ends_the_search(config: Any) -> None:
    reader = CurveReader(step)

    def stop(name: str) -> None:
        reader.broken = {name} if len(reader.answered) >= 13 else set()

    reader.on_answer = stop
    with pytest.raises(PointsError, match="all 12 samples failed"):
        search(config, reader)


def test_a_name_of_another_sweep_is_refused_before_any_work(config: Any) -> None:
    search(config, CurveReader(step), sweep_name="mine")
    reader = CurveReader(step)
    with pytest.raises(UserError, match="sweep_name"):
        search(config, reader, compressor=PoolConfig(), sweep_name="mine")
    assert reader.answered == []
