"""Runs that are asked for more samples, and for fewer again."""

from __future__ import annotations

import io
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import run_fakes
from run_fakes import Counting, without_times

from freqexp.comparing.load import load
from freqexp.config.run import RunConfig
from freqexp.config.saved import from_yaml
from freqexp.errors import UserError
from freqexp.nouns.sample import Sample
from freqexp.reproduce.saved import find, parse_config
from freqexp.results.record_file import load_records
from freqexp.results.summary import Summary
from freqexp.running.execute import execute, execute_share, run_folder
from freqexp.running.progress import Lines
from freqexp.running.shares import Share
from freqexp.running.sweep import run_points
from freqexp.schemas.needles import NeedlesConfig
from freqexp.schemas.tokens import TokenConfig
from freqexp.status.points import sweep_status


def run(cfg: RunConfig, counting: Counting) -> Summary:
    return execute(cfg, counting.session(), Lines(io.StringIO()))


def asked(counting: Counting) -> list[str]:
    """Notes every question from now on."""
    questions: list[str] = []
    counting.reader.on_answer = questions.append
    return questions


def folder_of(cfg: RunConfig) -> Path:
    return run_folder(cfg, run_fakes.fake_run_id(cfg))


def alone(cfg: RunConfig, tmp_path: Path, samples: int) -> dict[str, Any]:
    """The summary of the same run where nothing was asked before."""
    fresh = replace(cfg, samples=samples, output_dir=str(tmp_path / f"alone-{samples}"))
    return without_times(asdict(run(fresh, Counting())))


def test_more_samples_cost_only_those_and_fewer_none(
    config: Any, counting: Counting, tmp_path: Path
) -> None:
    questions = asked(counting)
    few = run(config(samples=8), counting)
    assert len(questions) == 8
    many = run(config(samples=16), counting)
    assert len(questions) == len(set(questions)) == 16
    loaded = counting.data_loaded
    again = run(config(samples=8), counting)
    assert (len(questions), counting.data_loaded) == (16, loaded)
    assert few.run_id == many.run_id == again.run_id
    assert (
        without_times(asdict(few)) == without_times(asdict(again)) == alone(config(), tmp_path, 8)
    )
    assert without_times(asdict(many)) == alone(config(), tmp_path, 16)
    assert (few.samples, many.samples) == (8, 16)
    assert few.accuracy != many.accuracy
    # What stands in the folder is the most that was asked for.
    written = json.loads((folder_of(config()) / "summary.json").read_text())
    assert written == asdict(many)
    assert from_yaml(folder_of(config()) / "config.yaml").samples == 16
    provenance = json.loads((folder_of(config()) / "provenance.json").read_text())
    assert (provenance["samples"], provenance["resumed"][0]["samples"]) == (8, 16)


def test_a_record_says_which_sample_of_the_data_set_it_is(config: Any, counting: Counting) -> None:
    run(config(samples=7), counting)
    records = load_records(folder_of(config()) / "records.jsonl")
    samples = run_fakes.make_samples(NeedlesConfig(count=2), 7, 0)
    assert [samples[record.index or 0].sample_id for record in records] == [
        record.sample_id for record in records
    ]


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_killed_in_between_and_with_another_number_of_processes(
    processes: int, config: Any, tmp_path: Path
) -> None:
    class Killed(BaseException):
        pass

    counting = Counting()
    questions = asked(counting)
    run(config(samples=4), counting)

    def die(name: str) -> None:
        if len(questions) == 9:
            raise Killed
        questions.append(name)

    counting.reader.on_answer = die
    with pytest.raises(Killed):
        run(config(samples=16), counting)
    questions = asked(counting)
    for rank in reversed(range(processes)):
        share = Share(rank, processes, "1")
        lines = Lines(io.StringIO())
        summary = execute_share(config(samples=16), counting.session(), lines, [], share)
    assert summary is not None
    assert len(questions) == 16 - 9
    records = load_records(folder_of(config()) / "records.jsonl")
    assert sorted(record.index or 0 for record in records) == list(range(16))
    assert without_times(asdict(summary)) == alone(config(), tmp_path, 16)


def test_asked_for_fewer_while_it_grows(config: Any, counting: Counting, tmp_path: Path) -> None:
    """What was killed at 5 of 6 has answered 3, without a model and without a question."""
    counting.reader.broken = {"sample-001"}
    run(config(samples=6), counting)
    questions = asked(counting)
    few = run(config(samples=3), counting)
    assert questions == []
    assert without_times(asdict(few)) == alone(config(), tmp_path, 3)
    written = json.loads((folder_of(config()) / "summary.json").read_text())
    assert (written["samples"], written["failed"]) == (6, 1)


def test_a_failed_sample_that_succeeds_later_counts_in_both(
    config: Any, counting: Counting
) -> None:
    counting.reader.broken = {"sample-005"}
    run(config(samples=6), counting)
    counting.reader.broken = set()
    questions = asked(counting)
    few = run(config(samples=3), counting)
    assert (questions, few.failed) == (["sample-005"], 0)
    written = json.loads((folder_of(config()) / "summary.json").read_text())
    assert (written["samples"], written["failed"]) == (6, 0)


def test_a_data_set_that_holds_fewer(config: Any, counting: Counting) -> None:
    counting.samples = lambda needles, samples, seed: run_fakes.make_samples(
        needles, min(samples, 5), seed
    )
    questions = asked(counting)
    assert run(config(samples=9), counting).samples == 5
    loaded = counting.data_loaded
    assert run(config(samples=200), counting).samples == 5
    assert run(config(samples=3), counting).samples == 3
    assert (len(questions), counting.data_loaded) == (5, loaded)


def test_records_at_another_place_are_refused(config: Any, counting: Counting) -> None:
    run(config(samples=4), counting)

    def reordered(needles: NeedlesConfig, samples: int, seed: int) -> list[Sample]:
        return run_fakes.make_samples(needles, samples, seed)[::-1]

    counting.samples = reordered
    with pytest.raises(UserError, match="line 1: sample 'sample-006' is not in this run's data"):
        run(config(samples=6), counting)


def test_the_baseline_grows_with_its_runs(config: Any, counting: Counting, tmp_path: Path) -> None:
    questions = asked(counting)
    points = [config(compressor=TokenConfig(), samples=4)]
    run_points(points, lambda cfg: [], session=counting.session())
    more = [replace(point, samples=10) for point in points]
    base, ours = run_points(more, lambda cfg: [], session=counting.session())
    assert len(questions) == 20
    assert (base.samples, ours.samples, ours.delta_samples) == (10, 10, 10)
    fewer = run_points(points, lambda cfg: [], session=counting.session())
    assert len(questions) == 20
    assert [summary.delta_samples for summary in fewer] == [None, 4]


def sweep_files(outputs: Path) -> dict[int, Path]:
    """The sweeps, by the most samples that they ask for."""
    found = {}
    for file in outputs.glob("sweeps/*/sweep.json"):
        if file.parent.is_symlink():
            continue
        entries = json.loads(file.read_text())["runs"]
        found[max(entry["samples"] for entry in entries)] = file
    return found


def test_each_sweep_shows_the_samples_that_it_asked_for(
    config: Any, counting: Counting, tmp_path: Path
) -> None:
    for samples in (4, 10, 4):
        points = [config(compressor=TokenConfig(), samples=samples)]
        run_points(points, lambda cfg: [], session=counting.session())
    outputs = Path(config().output_dir)
    sweeps = sweep_files(outputs)
    assert set(sweeps) == {4, 10}
    for samples, file in sweeps.items():
        loaded = load([str(file.parent)])
        assert [len(one.records) for one in loaded.runs] == [samples, samples]
        assert [one.notes for one in loaded.runs] == [(), ()]
        status = sweep_status(file)
        assert [(point.state, point.run.scored) for point in status.points] == [
            ("done", samples),
            ("done", samples),
        ]
        saved = find(str(file.parent), str(outputs))
        assert [parse_config(one).samples for one in saved] == [samples, samples]
    everything = load([str(outputs)])
    assert {len(one.records) for one in everything.runs} == {10}


def test_a_run_that_is_growing_is_not_finished(config: Any, counting: Counting) -> None:
    run(config(samples=4), counting)

    def stop(name: str) -> None:
        raise KeyboardInterrupt

    counting.reader.on_answer = stop
    points = [config(samples=10)]
    with pytest.raises(KeyboardInterrupt):
        run_points(points, lambda cfg: [], session=counting.session())
    outputs = Path(config().output_dir)
    file = outputs / "sweeps" / "latest" / "sweep.json"
    (point,) = sweep_status(file).points
    assert (point.state, point.run.scored, point.run.total) == ("interrupted", 4, 10)
    (loaded,) = load([str(file.parent)]).runs
    assert loaded.notes == ("not finished: 4 of 10 samples",)
    assert not loaded.ended


def test_several_numbers_of_samples_in_one_sweep(
    config: Any, counting: Counting, capsys: pytest.CaptureFixture[str]
) -> None:
    questions = asked(counting)
    points = [config(samples=samples) for samples in (5, 2, 7)]
    shown = run_points(points, lambda cfg: [], session=counting.session())
    assert [summary.samples for summary in shown] == [5, 2, 7]
    assert len(questions) == 7
    file = Path(config().output_dir) / "sweeps" / "latest" / "sweep.json"
    assert [entry["samples"] for entry in json.loads(file.read_text())["runs"]] == [5, 2, 7]
    (loaded,) = load([str(file.parent)]).runs
    assert len(loaded.records) == 7
    assert [point.run.scored for point in sweep_status(file).points] == [5, 2, 7]
