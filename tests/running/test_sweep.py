from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import run_fakes
from run_fakes import Counting

from freqexp.errors import ConfigError, UserError
from freqexp.running.execute import execute, run_folder
from freqexp.running.plan import plan
from freqexp.running.progress import Lines
from freqexp.running.sweep import PointsError, complete_deltas, finished, run_points
from freqexp.running.sweep_file import write_sweep
from freqexp.schemas.codecs import BlockDctConfig
from freqexp.schemas.method import NoneConfig
from freqexp.schemas.needles import NeedlesConfig
from freqexp.schemas.tokens import TokenConfig


def run(points: Any, counting: Counting, **more: Any) -> Any:
    return run_points(
        points, lambda cfg: [], session=counting.session(), progress=Lines(io.StringIO()), **more
    )


def test_the_baseline_is_added_once_and_comes_first(
    config: Any, counting: Counting, capsys: pytest.CaptureFixture[str]
) -> None:
    points = [
        config(compressor=compressor, keep_ratio=keep)
        for compressor in (BlockDctConfig(), TokenConfig())
        for keep in (0.3, 0.5, 0.7)
    ]
    summaries = run(points, counting)
    assert [summary.compressor for summary in summaries] == [
        "none",
        *["block_dct"] * 3,
        *["token"] * 3,
    ]
    assert [summary.keep_ratio for summary in summaries] == [None, 0.3, 0.5, 0.7, 0.3, 0.5, 0.7]
    assert {summary.baseline_run_id for summary in summaries[1:]} == {summaries[0].run_id}
    assert all(summary.delta is not None for summary in summaries[1:])
    assert counting.loaded == ["fake"]
    printed = capsys.readouterr().out
    rows = [line for line in printed.splitlines() if line.startswith(("none", "block", "token"))]
    assert len(rows) == 7
    assert "sweep.json" in printed


def test_points_that_are_the_same_run_are_computed_once(config: Any, counting: Counting) -> None:
    points = [config(keep_ratio=keep) for keep in (0.3, 0.5, 0.7)]
    assert len(run(points, counting)) == 1
    assert len(counting.reader.encoded) == 6


def test_a_single_run_walks_the_same_way(config: Any, counting: Counting) -> None:
    assert [s.compressor for s in run([config(compressor=TokenConfig())], counting)] == [
        "none",
        "token",
    ]
    lone = config(compressor=TokenConfig(), keep_ratio=0.25, baseline=False, samples=3)
    assert [s.compressor for s in run([lone], counting)] == ["token"]


def test_runs_are_grouped_by_model_and_data(config: Any, counting: Counting) -> None:
    points = [
        config(compressor=compressor, needles=NeedlesConfig(count=needles))
        for compressor in (BlockDctConfig(), TokenConfig())
        for needles in (2, 4)
    ]
    order = [(p.cfg.needles.count, p.cfg.compressor.name) for p in plan(points, counting.session())]
    assert order == [
        (needles, compressor) for needles in (2, 4) for compressor in ("none", "block_dct", "token")
    ]


def test_an_asked_for_baseline_keeps_its_overrides(config: Any, counting: Counting) -> None:
    points = [config(compressor=TokenConfig()), config(compressor=NoneConfig())]
    runs = plan(points, counting.session(), [["compressor=token"], ["compressor=none"]])
    assert [(point.overrides, point.added) for point in runs] == [
        (("compressor=none",), False),
        (("compressor=token",), False),
    ]


def test_a_failed_point_does_not_lose_the_others(
    config: Any, counting: Counting, capsys: pytest.CaptureFixture[str]
) -> None:
    def break_half(name: str) -> None:
        if len(counting.reader.features) == 6:  # the baseline is through
            counting.reader.broken = {f"sample-{number:03d}" for number in range(10)}

    counting.reader.on_answer = break_half
    points = [config(compressor=TokenConfig()), config(needles=NeedlesConfig(count=4))]
    with pytest.raises(PointsError, match=r"token keep 0.5 .*all 6 samples failed") as raised:
        run(points, counting)
    assert [summary.compressor for summary in raised.value.summaries] == ["none"]
    assert "none" in capsys.readouterr().out
    counting.reader.on_answer = lambda name: None
    counting.reader.broken = set()
    assert len(run(points, counting)) == 3


def test_a_fault_of_the_program_leaves_its_traceback(config: Any, counting: Counting) -> None:
    def load(model: Any) -> Any:
        raise ZeroDivisionError("oh")

    cfg = config()
    with pytest.raises(PointsError, match=r"ZeroDivisionError: oh \(traceback in .*error\.txt\)"):
        run_points(
            [cfg],
            lambda cfg: [],
            session=counting.session(reader=load),
            progress=Lines(io.StringIO()),
        )
    file = Path(cfg.output_dir) / "runs" / run_fakes.fake_run_id(cfg) / "error.txt"
    assert "Traceback" in file.read_text()


def test_a_folder_that_cannot_be_written_stops_before_any_work(
    config: Any, counting: Counting, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"output_dir: got .* allowed: a folder"):
        run([config(output_dir=str(tmp_path / "file" / "below"))], counting)
    assert (counting.loaded, counting.data_loaded) == ([], 0)


def test_points_of_several_folders_or_names_are_no_sweep(
    config: Any, counting: Counting, tmp_path: Path
) -> None:
    """A run in the second folder would be taken for the one in the first, and left out."""
    points = [config(), config(output_dir=str(tmp_path / "b"), sweep_name="other")]
    with pytest.raises(ConfigError) as caught:
        run(points, counting)
    assert list(caught.value.faults) == [
        f"output_dir: got '{tmp_path / 'outputs'}', '{tmp_path / 'b'}', allowed: one value for all "
        "points of a sweep",
        "sweep_name: got None, 'other', allowed: one value for all points of a sweep",
    ]
    assert list(tmp_path.iterdir()) == []


def test_sweep_json_lists_runs_and_overrides(
    config: Any, counting: Counting, tmp_path: Path
) -> None:
    point = config(compressor=TokenConfig(), sweep_name="mine")
    summaries = run([point], counting, overrides=[["compressor=token"]])
    file = tmp_path / "outputs" / "sweeps" / "mine" / "sweep.json"
    kept = json.loads(file.read_text())
    assert kept.pop("command")
    assert kept == {
        "name": "mine",
        "arguments": [],
        "tags": [],
        "notes": None,
        "runs": [
            {
                "run_id": summaries[0].run_id,
                "samples": 6,
                "overrides": [],
                "baseline": True,
                "added": True,
            },
            {
                "run_id": summaries[1].run_id,
                "samples": 6,
                "overrides": ["compressor=token"],
                "baseline": False,
                "added": False,
            },
        ],
    }
    run([point, config(compressor=BlockDctConfig(), sweep_name="mine")], counting)
    assert len(json.loads(file.read_text())["runs"]) == 3
    run([point], counting)
    assert len(json.loads(file.read_text())["runs"]) == 3
    with pytest.raises(UserError, match=r"sweep_name: got 'mine'.*2 of its 3 runs are not in this"):
        run([config(compressor=TokenConfig(), keep_ratio=0.1, sweep_name="mine")], counting)


@pytest.mark.parametrize("baseline_first", [True, False])
def test_a_difference_is_there_in_whatever_order_runs_end(
    baseline_first: bool, config: Any, counting: Counting
) -> None:
    point = config(compressor=TokenConfig(), sweep_name="mine")
    baseline = replace(point, compressor=NoneConfig())
    session = counting.session()
    write_sweep(Path(point.output_dir), "mine", plan([point], session))
    for cfg in (baseline, point) if baseline_first else (point, baseline):
        assert finished(cfg, session) is None
        execute(cfg, session, Lines(io.StringIO()))
        told = complete_deltas(cfg, session, Path(point.output_dir), "mine")
    assert [cfg.compressor for cfg, _, _ in told] == ([] if baseline_first else [point.compressor])
    summary = json.loads((run_folder(point, session.run_id(point)) / "summary.json").read_text())
    assert summary["baseline_run_id"] == session.run_id(baseline)
    assert summary["delta_samples"] == 6


def test_a_baseline_serves_every_sweep_that_has_it(config: Any, counting: Counting) -> None:
    ours = config(compressor=TokenConfig(), keep_ratio=0.4)
    theirs = config(compressor=TokenConfig(), keep_ratio=0.7)
    session, root = counting.session(), Path(ours.output_dir)
    for name, point in (("ours", ours), ("theirs", theirs)):
        write_sweep(root, name, plan([point], session))
        execute(point, session, Lines(io.StringIO()))
    baseline = replace(ours, compressor=NoneConfig(), sweep_name="ours")
    execute(baseline, session, Lines(io.StringIO()))
    told = complete_deltas(baseline, session, root, "ours")
    assert sorted(cfg.keep_ratio for cfg, _, _ in told) == [0.4, 0.7]
    assert complete_deltas(baseline, session, root, "ours") == []
    # What is wrong with another run is no matter of the baseline's.
    file = run_folder(theirs, session.run_id(theirs)) / "config.yaml"
    file.write_text("keep_ratio: [")
    (file.parent / "summary.json").write_text("{}")
    assert complete_deltas(baseline, session, root, "ours") == []


def test_a_sweep_without_a_name_has_the_same_one_every_time(
    config: Any, counting: Counting, tmp_path: Path
) -> None:
    names = []
    for _ in range(2):
        run([config(), config(seed=1)], counting)
        names.append({path.name for path in (tmp_path / "outputs" / "sweeps").iterdir()})
    assert names[0] == names[1]
    assert len(names[0] - {"latest"}) == 1


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "x" * 101])
def test_a_sweep_name_must_be_a_folder_name(name: str, config: Any, counting: Counting) -> None:
    with pytest.raises(UserError, match="sweep_name: got "):
        run([config(sweep_name=name)], counting)
    assert counting.loaded == []


def test_rows_that_differ_in_how_the_model_answers_say_so(
    config: Any, counting: Counting, capsys: pytest.CaptureFixture[str]
) -> None:
    usual = config(compressor=TokenConfig(), baseline=False)
    tokens = usual.model.max_new_tokens
    short = replace(usual, model=replace(usual.model, max_new_tokens=3))
    run([usual, short], counting)
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("token")]
    assert [f"max_new_tokens={n}" in r for n, r in zip((tokens, 3), rows, strict=True)] == [
        True
    ] * 2
