"""Several processes on one run, here one after the other or in threads."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import run_fakes

from freqexp.errors import UserError
from freqexp.results.record_file import Records, load_records
from freqexp.running.execute import execute, execute_share, run_folder
from freqexp.running.progress import Lines
from freqexp.running.shares import Preempted, Share


def compute(cfg: Any, share: Share, counting: run_fakes.Counting) -> Any:
    return execute_share(cfg, counting.session(), Lines(io.StringIO()), [], share)


@pytest.mark.parametrize("processes", [1, 2, 4, 9])
def test_the_number_of_processes_changes_nothing(processes: int, tmp_path: Path) -> None:
    alone = run_fakes.make_config(str(tmp_path / "alone"))
    together = run_fakes.make_config(str(tmp_path / "together"))
    counting = run_fakes.Counting()
    expected = execute(alone, counting.session(), Lines(io.StringIO()))
    for rank in reversed(range(processes)):
        summary = compute(together, Share(rank, processes, "1"), counting)
    folder = run_folder(together, summary.run_id)
    names = [record.sample_id for record in load_records(folder / "records.jsonl")]
    assert run_fakes.without_times(vars(summary)) == run_fakes.without_times(vars(expected))
    assert len(names) == len(set(names)) == 6
    assert sorted(file.name for file in folder.iterdir()) == [
        "config.yaml",
        "provenance.json",
        "records.jsonl",
        "summary.json",
    ]


def test_another_number_of_processes_goes_on(tmp_path: Path) -> None:
    cfg = run_fakes.make_config(str(tmp_path))
    counting = run_fakes.Counting()
    asked: list[str] = []
    share = Share(2, 3, "1")

    def leave(name: str) -> None:
        asked.append(name)
        share.leaving = True

    counting.reader.on_answer = leave
    with pytest.raises(Preempted):
        compute(cfg, share, counting)
    counting.reader.on_answer = asked.append
    assert compute(cfg, Share(1, 2, "2"), counting) is None
    summary = compute(cfg, Share(0, 2, "2"), counting)
    assert len(asked) == len(set(asked)) == summary.samples == 6


def test_a_dead_process_is_noticed(tmp_path: Path) -> None:
    cfg = run_fakes.make_config(str(tmp_path))
    counting = run_fakes.Counting()
    folder = run_folder(cfg, run_fakes.fake_run_id(cfg))
    gone = Share(1, 2, "1")
    with Records(gone.file(folder)):
        gone.begin(folder)
    with pytest.raises(UserError, match="process 1 of 2 ended before"):
        compute(cfg, Share(0, 2, "1"), counting)
    assert len(load_records(folder / "records.jsonl")) == 3


def test_waiting_can_be_left(tmp_path: Path) -> None:
    cfg = run_fakes.make_config(str(tmp_path))
    counting = run_fakes.Counting()
    share = Share(0, 2, "1")
    counting.reader.on_answer = lambda name: setattr(share, "leaving", name == "sample-002")
    with pytest.raises(Preempted):
        compute(cfg, share, counting)


def test_marks_of_an_earlier_life_count_for_nothing(tmp_path: Path) -> None:
    cfg = run_fakes.make_config(str(tmp_path))
    counting = run_fakes.Counting()
    folder = run_folder(cfg, run_fakes.fake_run_id(cfg))
    for life in ("1", "2"):
        with Records(Share(1, 2, life).file(folder)):
            Share(1, 2, life).begin(folder)
    Share(1, 2, "1").end(folder)
    with pytest.raises(UserError, match="process 1 of 2"):
        compute(cfg, Share(0, 2, "2"), counting)
