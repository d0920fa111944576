from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from freqexp.results.record_file import Records
from freqexp.status import __main__ as status
from freqexp.status.files import error_is_current
from freqexp.status.live import Job, parse_queue
from freqexp.status.points import PointStatus, SweepStatus, find_sweep, sweep_status
from freqexp.status.text import duration, plain, render

Status = Callable[[], SweepStatus]


class Sweep:
    """Writes the files of a sweep; `squeue` is a script that prints `jobs`."""

    def __init__(self, folder: Path) -> None:
        self.output_dir = folder / "outputs"
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.file = self.output_dir / "sweeps" / "night" / "sweep.json"
        self.file.parent.mkdir(parents=True)
        self.entries: list[Any] = []
        self.squeue("")

    def squeue(self, output: str, code: int = 0, error: str = "") -> None:
        script = self.bin / "squeue"
        script.write_text(
            f"#!/bin/sh\ncat <<'END'\n{output}\nEND\ncat >&2 <<'END'\n{error}\nEND\nexit {code}\n"
        )
        script.chmod(0o755)

    def run(
        self,
        name: str,
        scored: int = 0,
        failed: int = 0,
        total: int = 8,
        job: str | None = None,
        error: str | None = None,
        log: str | None = None,
        **submission: Any,
    ) -> Path:
        self.entries.append({"run_id": name, "overrides": [f"keep_ratio=0.{len(self.entries)}"]})
        self.file.write_text(json.dumps({"name": "night", "runs": self.entries}))
        folder = self.output_dir / "runs" / name
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text(f"model:\n  samples: 1\nsamples: {total}\nseed: 0\n")
        if job is not None or submission or log is not None:
            (folder / "log").write_text(log or "")
            value = {"job_id": job, "executor": "slurm", "log": str(folder / "log"), "tasks": 1}
            (folder / "submission.json").write_text(json.dumps({**value, **submission}))
        records = [record(index) for index in range(scored)]
        records += [record(scored + index, error="no answer") for index in range(failed)]
        if records:
            (folder / "records.jsonl").write_text("".join(f"{line}\n" for line in records))
        if scored == total:
            (folder / "summary.json").write_text(json.dumps({"samples": total, "failed": 0}))
        if error is not None:
            (folder / "error.txt").write_text(error)
        return folder

    def points(self) -> dict[str, PointStatus]:
        return {point.run.run_id: point for point in sweep_status(self.file).points}

    def states(self) -> dict[str, str]:
        return {name: point.state for name, point in self.points().items()}


def record(index: int, error: str | None = None, **changes: Any) -> str:
    times = {"render_ms": None, "compress_ms": 100.0, "prefill_ms": 400, "decode_ms": 1500.0}
    score = 0.5 if error is None else None
    value = {"sample_id": f"s{index}", "score": score, "error": error, **times, "codec_ms": 100.0}
    return json.dumps({**value, **changes})


def line(job: str, state: str, restarts: int = 0, reason: str = "None") -> str:
    return f"{job:40}{state:30}{restarts:<12}{reason:80}"


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sweep:
    made = Sweep(tmp_path)
    monkeypatch.setenv("PATH", f"{made.bin}{os.pathsep}{os.environ['PATH']}")
    return made


def test_every_state_of_a_job(sweep: Sweep) -> None:
    states = {
        "7_0": ("COMPLETED", "done"),
        "7_1": ("RUNNING", "running"),
        "7_2": ("PENDING", "pending"),
        "7_3": ("PENDING", "requeued"),
        "7_4": ("FAILED", "failed"),
        "7_5": ("CANCELLED", "cancelled"),
        "7_6": ("TIMEOUT", "timeout"),
        "7_7": ("COMPLETED", "interrupted"),
        "7_8": ("OUT_OF_MEMORY", "failed"),
        "7_9": ("REQUEUED", "requeued"),
        "7_10": ("SOMETHING_NEW", "interrupted"),
    }
    for job in states:
        sweep.run(f"run{job}", scored=8 if job == "7_0" else 3, job=job, log="a\nKilled\n\n")
    sweep.run("unsubmitted")
    sweep.squeue(
        "\n".join(line(job, state, int(job == "7_3")) for job, (state, _) in states.items())
    )
    expected = {f"run{job}": state for job, (_, state) in states.items()}
    assert sweep.states() == {**expected, "unsubmitted": "missing"}
    points = sweep.points()
    assert points["run7_3"].note == "requeues: 1"
    assert points["run7_4"].note == "Killed"
    assert points["run7_8"].note == "OUT_OF_MEMORY: Killed"


def test_what_a_waiting_job_waits_for(sweep: Sweep) -> None:
    sweep.run("a", job="7")
    sweep.squeue(line("7", "PENDING", 2, "PartitionTimeLimit"))
    assert sweep.points()["a"].note == "requeues: 2, PartitionTimeLimit"


def test_the_queue_outweighs_an_old_error(sweep: Sweep) -> None:
    sweep.run("a", scored=3, job="7", error="Traceback\nValueError: x\n")
    assert sweep.points()["a"].state == "failed"
    assert sweep.points()["a"].note == "ValueError: x"
    sweep.squeue(line("7", "RUNNING"))
    assert sweep.states() == {"a": "running"}


def test_an_error_of_an_earlier_start_is_over(sweep: Sweep) -> None:
    folder = sweep.run("a", scored=3, job="7", error="ValueError: x")
    assert error_is_current(folder)
    os.utime(folder / "error.txt", (1, 1))
    assert not error_is_current(folder)
    assert sweep.points()["a"].state == "interrupted"


def test_a_job_that_slurm_forgot_is_told_by_its_log(sweep: Sweep) -> None:
    end = "slurmstepd: error: *** JOB 7 ON node1 CANCELLED AT 2026-11-21T10:00:00{} ***\n"
    sweep.run("limit", scored=3, job="7_0", log="x\n" + end.format(" DUE TO TIME LIMIT"))
    sweep.run("cancelled", job="7_1", log=end.format(""))
    sweep.run("node", job="7_2", log=end.format(" DUE TO NODE FAILURE, SEE SLURMCTLD LOG"))
    sweep.run("gone", scored=3, job="7_3", log="last words")
    sweep.run("never", job="7_4")
    sweep.squeue("", code=1, error="slurm_load_jobs error: Invalid job id specified")
    assert sweep.states() == {
        "limit": "timeout",
        "cancelled": "cancelled",
        "node": "interrupted",
        "gone": "interrupted",
        "never": "missing",
    }
    assert sweep.points()["gone"].note == "last words"
    assert sweep_status(sweep.file).warning is None


def test_without_squeue_the_files_speak(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    old = sweep.run("old", scored=3, job="7_0")
    os.utime(old / "records.jsonl", (1, time.time() - 3600))
    sweep.run("young", scored=3, job="7_1")
    sweep.run("waits", job="7_2")
    sweep.run("broken", job="7_3", error="ValueError: x")
    sweep.run("done", scored=8, job="7_4")
    expected = {
        "old": "interrupted",
        "young": "running",
        "waits": "pending",
        "broken": "failed",
        "done": "done",
    }
    sweep.squeue("", code=1, error="slurm_load_jobs error:\nUnable to contact slurm controller")
    assert sweep.states() == expected
    warning = sweep_status(sweep.file).warning
    assert warning is not None
    assert warning.startswith("slurm_load_jobs error: Unable to contact slurm controller: what")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert sweep.states() == expected
    assert "there is no squeue here" in str(sweep_status(sweep.file).warning)


def test_runs_of_this_machine_are_seen_without_touching_their_locks(sweep: Sweep) -> None:
    folder = sweep.run("a", scored=3)
    (folder / "records.jsonl").unlink()
    sweep.run("b", executor="workers")
    assert sweep.states() == {"a": "missing", "b": "missing"}
    with Records(folder / "records.jsonl"):
        assert sweep.states() == {"a": "running", "b": "pending"}
        with (folder / "summary.json").open("w") as file:
            file.write('{"samples": 8, "fai')
        assert sweep.states()["a"] == "running"
    assert sweep.states() == {"a": "interrupted", "b": "missing"}


def test_a_run_with_failed_samples_is_not_done(sweep: Sweep) -> None:
    folder = sweep.run("a", scored=6, failed=2)
    (folder / "summary.json").write_text(json.dumps({"samples": 8, "failed": 2}))
    point = sweep.points()["a"]
    assert (point.state, point.note, point.run.failed) == ("failed", "no answer", 2)
    with (folder / "records.jsonl").open("a") as file:
        file.write(record(6) + "\n" + record(7) + "\n")
    assert sweep.points()["a"].run.scored == 8


def test_rate_and_time_left(sweep: Sweep) -> None:
    folder = sweep.run("a", scored=2, failed=1, total=20, job="7", tasks=4)
    # Of the processes' own files, a sample that several hold counts once.
    (folder / "records-1.jsonl").write_text(f"{record(1)}\n{record(5)}\n")
    sweep.run("b", total=10, job="8")
    sweep.squeue(f"{line('7', 'RUNNING')}\n{line('8', 'PENDING')}")
    point = sweep.points()["a"]
    assert (point.run.scored, point.run.failed) == (3, 1)
    assert point.rate == pytest.approx(2.0)  # four processes, two seconds a sample
    assert point.left == pytest.approx(8.0)
    text = render(sweep_status(sweep.file), 200)
    assert "3/20 (1 failed)  120/min  8 s" in text
    assert text.endswith("2 points: 1 pending, 1 running; samples 3/30; 120/min; 13 s left")


@pytest.mark.parametrize("junk", [b"", b"\xff\xfe{", b'{"runs": 3', b"[1]", b"null", b"\0" * 99])
def test_damaged_files_are_survived(sweep: Sweep, junk: bytes) -> None:
    folder = sweep.run("a", scored=2, job="7")
    (folder / "error.txt").write_bytes(junk)
    with (folder / "records.jsonl").open("ab") as file:
        file.write(junk + b'\n{"sample_id": 3}\n{"sample_id": "s9", "sco')
    for name in ("config.yaml", "submission.json", "summary.json", "provenance.json"):
        (folder / name).write_bytes(junk)
        point = sweep.points()["a"]
        assert point.run.scored == 2
        render(sweep_status(sweep.file), 80)
    (folder / "log").unlink()
    assert point.run.total is None
    sweep.entries += [7, {"run_id": "../../etc"}, {"overrides": []}, {"run_id": "b"}]
    sweep.file.write_text(json.dumps({"runs": sweep.entries}))
    assert list(sweep.states()) == ["a", "b"]


def test_what_a_terminal_could_obey_is_shown(
    sweep: Sweep, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = "\x1b]0;owned\x07\x1b[2J\u202egood\x9b31m"
    sweep.run("a", job="7", error=f"ValueError: {evil}é")
    sweep.entries[0]["overrides"] = [f"model={evil}"]
    sweep.file.write_text(json.dumps({"name": evil, "runs": sweep.entries}))
    for arguments in ([], ["--json"]):
        assert status.main([*arguments, "--output-dir", str(sweep.output_dir)]) == 0
        shown = capsys.readouterr().out
        assert all(char.isprintable() or char == "\n" for char in shown)
        assert "owned" in shown
    assert plain(evil + "é") == r"\x1b]0;owned\x07\x1b[2J\u202egood\x9b31mé"


def test_a_big_sweep_shows_what_wants_attention_last(sweep: Sweep) -> None:
    for index in range(6):
        sweep.run(f"done{index}", scored=8)
    sweep.run("bad", error="ValueError: x")
    sweep.run("gone")
    text = render(sweep_status(sweep.file), 100, limit=3).splitlines()
    assert [row.split()[0] for row in text[2:5]] == ["done", "missing", "failed"]
    assert text[5:7] == ["    ValueError: x", f"    {sweep.output_dir}/runs/bad/error.txt"]
    assert text[7] == "and 5 done (--all shows them)"
    assert text[8] == "8 points: 6 done, 1 missing, 1 failed; samples 48/64"
    assert max(map(len, text[1:6])) <= 100


def test_finding_a_sweep(sweep: Sweep, capsys: pytest.CaptureFixture[str]) -> None:
    sweep.run("a", scored=8)
    other = sweep.output_dir / "sweeps" / "other" / "sweep.json"
    other.parent.mkdir()
    other.write_text('{"name": "other", "runs": []}')
    os.utime(sweep.file, (1, 1))
    assert find_sweep(None, sweep.output_dir) == other
    for name in ("night", str(sweep.file.parent), str(sweep.file)):
        assert find_sweep(name, sweep.output_dir) == sweep.file
    where = ["--output-dir", str(sweep.output_dir)]
    assert status.main(["day", *where]) == 2
    assert capsys.readouterr().err == (
        f"freqexp: no sweep 'day' in {sweep.output_dir}; there are: night, other\n"
    )
    assert status.main(["--output-dir", "/nowhere"]) == 2
    other.write_text("{")
    assert status.main(where) == 2


def test_json_says_everything(sweep: Sweep, capsys: pytest.CaptureFixture[str]) -> None:
    sweep.run("a", scored=2, job="7_0", error="ValueError: x", submitted="2026-11-21T10:00:00")
    sweep.run("b", scored=8)
    status.main(["night", "--json", "--output-dir", str(sweep.output_dir)])
    value = json.loads(capsys.readouterr().out)
    assert value["counts"] == {"done": 1, "failed": 1}
    assert (value["samples_done"], value["samples_total"]) == (10, 16)
    point = value["points"][0]
    assert (point["state"], point["note"], point["job_id"]) == ("failed", "ValueError: x", "7_0")
    assert point["submitted"] == "2026-11-21T10:00:00"
    assert point["log"].endswith("runs/a/log")


def test_watching_ends_when_nothing_is_under_way(
    sweep: Sweep, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = sweep.run("a", scored=2, job="7")
    sweep.squeue(line("7", "RUNNING"))
    pauses: list[float] = []

    sleep = time.sleep

    def pause(seconds: float) -> None:
        if seconds < 1:  # waiting for squeue
            sleep(seconds)
            return
        pauses.append(seconds)
        if len(pauses) == 3:
            answered = "".join(f"{record(index)}\n" for index in range(8))
            (folder / "records.jsonl").write_text(answered)
            (folder / "summary.json").write_text('{"samples": 8, "failed": 0}')

    monkeypatch.setattr(time, "sleep", pause)
    where = ["--output-dir", str(sweep.output_dir)]
    assert status.main(["--watch", "--interval", "2", *where]) == 0
    assert pauses == [2.0] * 3
    # Not a terminal: what did not change is not said again.
    assert capsys.readouterr().out.count("sweep night") == 2
    with pytest.raises(SystemExit):
        status.main(["--watch", "--interval", "0"])


def test_it_is_light_and_works_from_the_command_line(sweep: Sweep) -> None:
    sweep.run("a", scored=8)
    code = (
        "import sys; from freqexp.status.__main__ import main; code = main(sys.argv[1:]);"
        "heavy = {'torch', 'transformers', 'wandb', 'hydra', 'omegaconf', 'numpy'};"
        "sys.exit(code or str(heavy & set(sys.modules)) if heavy & set(sys.modules) else code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "--output-dir", str(sweep.output_dir)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 point: 1 done; samples 8/8" in done.stdout


def test_durations_and_queue_lines() -> None:
    assert [duration(s) for s in (None, 4, 89, 100, 5399, 7200, 200000)] == (
        ["-", "4 s", "89 s", "2 min", "90 min", "2.0 h", "2.3 d"]
    )
    jobs = parse_queue(f"{line('7_1', 'RUNNING', 1)}\nslurm_load_jobs: warning\n\n7 X y z\n")
    assert jobs == {"7_1": Job("RUNNING", 1, "None")}
