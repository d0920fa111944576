"""What one process of a point notes of itself, and when its job is not requeued any more."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from freqexp_cluster import lives
from freqexp_cluster.leaving import Leaving
from freqexp_cluster.node import PointTask

from freqexp.config.cluster import ClusterConfig, Executor
from freqexp.errors import UserError
from freqexp.locks import HeldError
from freqexp.results.record import Record
from freqexp.results.record_file import Records
from freqexp.running.shares import Share
from freqexp.status.files import read_run

CLUSTER = ClusterConfig(executor=Executor.slurm, time="5", signal_delay_s=60)


def answer(folder: Path, number: int) -> None:
    with Records(folder / "records.jsonl") as store:
        for index in range(len(store.records), len(store.records) + number):
            store.append(
                Record(
                    sample_id=f"s{index}", needles=2, bucket="", expected="", index=index, score=1.0
                )
            )


def live(folder: Path, gained: int, *signals: int, job: str = "7_0") -> None:
    """One life of a job in which `gained` samples are answered before it is told to leave."""
    lives.begin(folder, job)
    answer(folder, gained)
    leaving = Leaving(Share(), folder)
    leaving.cluster = CLUSTER
    leaving._came = [*signals]
    leaving._require_progress()


def test_lives_without_progress_end(tmp_path: Path) -> None:
    for gained in (23, 0, 0, 1, 0, 0):
        live(tmp_path, gained, signal.SIGUSR2)
    with pytest.raises(UserError, match=r"3 lives in a row .*\(24 are answered\).*time=5 less"):
        live(tmp_path, 0, signal.SIGUSR2)
    assert "cluster.signal_delay_s=60" in (tmp_path / "error.txt").read_text()
    (tmp_path / "submission.json").write_text(json.dumps({"job_id": "7_0"}))
    assert read_run(tmp_path, [], False).lives == (23, 0, 0, 1, 0, 0, 0)
    # Another submission, with more time, begins anew.
    live(tmp_path, 0, signal.SIGUSR2, job="8_0")


def test_preempted_lives_do_not_count(tmp_path: Path) -> None:
    for _ in range(5):
        live(tmp_path, 0, signal.SIGUSR2, signal.SIGTERM)
    assert json.loads((tmp_path / "lives.json").read_text())["gained"] == []


def task(folder: Path) -> PointTask:
    return PointTask("id", str(folder), "sweep", "now", "")


def environment(job: str) -> Any:
    paths = SimpleNamespace(stdout="/log")
    return SimpleNamespace(job_id=job, num_tasks=1, cluster="slurm", paths=paths)


def test_a_second_job_touches_nothing_of_the_first(tmp_path: Path) -> None:
    task(tmp_path)._begin(tmp_path, environment("7_0"))
    (tmp_path / "interrupted.json").write_text("{}")
    with Records(tmp_path / "records.jsonl"):
        before = {file.name: file.read_text() for file in tmp_path.iterdir()}
        task(tmp_path)._begin(tmp_path, environment("9_0"))
        task(tmp_path)._note(HeldError("another process is working on this run"))
        assert {file.name: file.read_text() for file in tmp_path.iterdir()} == before
    task(tmp_path)._begin(tmp_path, environment("9_0"))
    assert json.loads((tmp_path / "submission.json").read_text())["job_id"] == "9_0"
    assert not (tmp_path / "interrupted.json").exists()
