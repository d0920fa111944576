"""Adapting a reader as a job of a real SLURM, and what its process does with signals."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from adapt_settings import TINY, same_tensors, timeless, tiny
from slurm_fixture import Slurm, until

from freqexp.errors import DONE, FAILED, INTERRUPTED, UserError
from freqexp.train.adapt import command

sys.path.insert(0, str(Path(__file__).parents[2] / "launchers"))

from freqexp_cluster import training
from freqexp_cluster.leaving import TERMINATED
from freqexp_cluster.sbatch import RefusedError
from freqexp_cluster.training import TrainingTask

STEPS = 40
MERGE = ("compressor=merge", f"adapt.steps={STEPS}")
JOB = (
    "cluster=slurm",
    "cluster.cpus_per_gpu=1",
    "cluster.threads=1",
    "cluster.time=20",
    "cluster.signal_delay_s=40",
)


def adapt(folder: Path, *more: str) -> int:
    return command.main([*TINY, *MERGE, *JOB, f"adapt.out={folder}", *more])


def step_of(folder: Path) -> int:
    """Of the last row, -1 before there is one."""
    with contextlib.suppress(OSError, IndexError):
        return int(timeless(folder)[-1]["step"])
    return -1


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same training in this process, never cut off."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("here")
    assert command.adapt(*tiny(*MERGE, f"adapt.out={folder}"))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("how", ["time limit", "preemption"])
def test_a_job_told_to_leave_goes_on_after_the_requeue(
    slurm: Slurm, here: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], how: str
) -> None:
    there = tmp_path / "there"
    slurm.run("scontrol", "update", "PartitionName=gpu", "State=DOWN")
    try:
        assert adapt(there) == 0
        job = json.loads((there / "submission.json").read_text())["job_id"]
        assert f"submitted as job {job}" in capfd.readouterr().out
        # While it is queued a second one would write into the same folder.
        with pytest.raises(UserError, match=f"adapt.out: {there} is adapted by job {job} already"):
            adapt(there)
    finally:
        slurm.run("scontrol", "update", "PartitionName=gpu", "State=UP")
    until(lambda: step_of(there) >= 10, 120)
    if how == "preemption":
        slurm.requeue(job)
    else:
        slurm.signal(job, "USR2")
    until(lambda: slurm.show(job)["Restarts"] == "1", 60)
    assert set(slurm.wait(job, seconds=200).values()) == {"COMPLETED"}
    log = "".join(file.read_text() for file in (there / "jobs").glob("*.out"))
    assert "left after step" in log
    assert f"of {there}" in log
    assert same_tensors(there, here)
    assert timeless(there) == timeless(here)
    for name in ("adapter_model.safetensors", "compressor.safetensors"):
        assert (there / name).read_bytes() == (here / name).read_bytes()


@dataclass
class Environment:
    """What submitit would say of one process of a job."""

    global_rank: int = 0
    local_rank: int = 0
    num_tasks: int = 1
    cluster: str = "slurm"


@pytest.fixture
def handlers() -> Iterator[list[int]]:
    """The signals that submitit's handler of SIGUSR2 got, which requeues."""
    requeued: list[int] = []
    names = (signal.SIGUSR2, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in names}

    def requeue(number: int, frame: Any) -> None:
        requeued.append(number)
        sys.exit(0)

    signal.signal(signal.SIGUSR2, requeue)
    yield requeued
    for number, handler in before.items():
        signal.signal(number, handler)


OBEYS = f"""
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *given: sys.exit({INTERRUPTED}))
open("listening", "w").close()
time.sleep(60)
"""
STARTS = """
import time
open("listening", "w").close()
time.sleep(60)
"""


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, handlers: list[int]
) -> Callable[..., object]:
    """run(text, *signals, **environment): a task with a module of this text, sent these signals
    once it has started; the exit code, or None where it just returned.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    monkeypatch.setattr(training, "KILLED_WITHIN_S", 0.0)

    def send(numbers: tuple[int, ...]) -> None:
        until((tmp_path / "listening").exists, 30)
        for number in numbers:
            os.kill(os.getpid(), number)

    def task(text: str, *numbers: int, **environment: Any) -> object:
        (tmp_path / "trains.py").write_text(text)
        monkeypatch.setattr("submitit.JobEnvironment", lambda: Environment(**environment))
        sender = threading.Thread(target=send, args=(numbers,))
        if numbers:
            sender.start()
        try:
            TrainingTask(("trains",))()
        except SystemExit as left:
            return left.code
        finally:
            if numbers:
                sender.join()
        return None

    return task


@pytest.mark.parametrize("text", [OBEYS, STARTS])
def test_at_the_time_limit_the_first_process_requeues_the_job(
    run: Callable[..., object], handlers: list[int], text: str
) -> None:
    assert run(text, signal.SIGUSR2) == 0
    assert handlers == [signal.SIGUSR2]


def test_the_others_leave_it_to_the_first(run: Callable[..., object], handlers: list[int]) -> None:
    assert run(OBEYS, signal.SIGUSR2, global_rank=1) == TERMINATED
    assert handlers == []


def test_a_cancelled_job_is_not_requeued(run: Callable[..., object], handlers: list[int]) -> None:
    assert run(OBEYS, signal.SIGTERM) == TERMINATED
    assert handlers == []


def test_a_training_that_ends_by_itself(run: Callable[..., object], handlers: list[int]) -> None:
    assert run("") is None
    with pytest.raises(UserError, match="`trains` ended with exit code 2"):
        run("raise SystemExit(2)")
    # Nobody told it to leave.
    with pytest.raises(UserError, match=f"`trains` ended with exit code {INTERRUPTED}"):
        run(f"raise SystemExit({INTERRUPTED})")
    assert handlers == []


def test_a_process_told_by_another_one_first_waits_for_its_own_signal(
    run: Callable[..., object], handlers: list[int]
) -> None:
    leaves = f'open("listening", "w").close()\nraise SystemExit({INTERRUPTED})'
    assert run(leaves, signal.SIGUSR2, global_rank=1) == TERMINATED
    assert handlers == []


def test_the_next_life_runs_the_same() -> None:
    task = TrainingTask(("freqexp.train", "adapt"))
    again = task.checkpoint().function
    assert (again.arguments, again.life) == (task.arguments, 1)


@pytest.mark.parametrize("ends", [True, False])
def test_whoever_waits_is_told_how_it_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: bool
) -> None:
    """Also where an earlier training wrote there before."""
    sent: list[TrainingTask] = []
    about = tmp_path / "adapt.json"
    about.write_text("{}")
    os.utime(about, ns=(1, 1))

    class Executor:
        answer = None

        def submit(self, task: TrainingTask) -> Any:
            sent.append(task)
            return SimpleNamespace(job_id="7", paths=SimpleNamespace(stdout="log-%t.out"))

    def wait(jobs: list[str]) -> None:
        assert jobs == ["7"]
        if ends:
            about.write_text("{}")

    monkeypatch.setattr("freqexp_cluster.partitions.require_slurm", lambda cluster: None)
    monkeypatch.setattr("freqexp_cluster.queue.active_jobs", lambda clusters: {})
    monkeypatch.setattr(training, "snapshot", lambda folder, outside: folder)
    monkeypatch.setattr("freqexp_cluster.submitter.Submitter", lambda *given: Executor())
    monkeypatch.setattr(training, "wait", wait)
    monkeypatch.chdir(tmp_path.parent)
    out = f"adapt.out={tmp_path.name}"
    code = command.main([*TINY, *MERGE, *JOB, out, "cluster.wait=true"])
    assert code == (DONE if ends else FAILED)
    assert json.loads((tmp_path / "submission.json").read_text())["job_id"] == "7"
    (task,) = sent
    # The job computes itself, in the same folder wherever it starts.
    assert task.arguments == ("freqexp.train", "adapt", *TINY, *MERGE, f"adapt.out={tmp_path}")


def test_a_training_is_one_job_of_slurm_or_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cluster: got workers, allowed: local, slurm"):
        command.main([*TINY, *MERGE, "cluster=workers", f"adapt.out={tmp_path}"])
    assert list(tmp_path.iterdir()) == []


def test_a_package_with_the_method_travels_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, theirs: Path
) -> None:
    """Down to the point where a job would be handed to sbatch."""
    copies: list[Path] = []

    class Refuses:
        def __init__(self, cluster: object, name: str, jobs: Path, code: Path) -> None:
            copies.append(code)

        def submit(self, task: object) -> object:
            raise RefusedError("no")

    monkeypatch.setattr("freqexp_cluster.submitter.Submitter", Refuses)
    monkeypatch.setattr(training.partitions, "require_slurm", lambda cluster: None)
    monkeypatch.setattr(training.queue, "active_jobs", lambda clusters: [])
    asked = ["compressor=variance", "keep_ratio=0.5", f"adapt.out={tmp_path / 'out'}", *JOB]
    with pytest.raises(UserError, match="nothing was submitted: no"):
        command.main([*TINY, *asked])
    (code,) = copies
    assert (code / "outside" / "their_methods" / "variance.py").is_file()
    assert (code / "freqexp" / "train").is_dir()
