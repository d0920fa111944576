"""What is submitted, noted and said, whatever SLURM's commands answer."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from freqexp_cluster import dry_run, queue, slurm, submit, surroundings
from freqexp_cluster.freezing import copy_code
from freqexp_cluster.todo import Sweep, sort_out
from slurm_stub import SlurmStub

from freqexp.composing import compose
from freqexp.config.run import RunConfig
from freqexp.errors import ConfigError, UserError
from freqexp.status.points import sweep_status


@pytest.fixture(scope="module")
def composed() -> RunConfig:
    return compose.compose(["cluster=slurm", "samples=2", "tracking=off", "compressor=none"])


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SlurmStub:
    monkeypatch.setattr("freqexp_cluster.sbatch.LOOK_SECONDS", 0.0)
    monkeypatch.setattr("freqexp_cluster.slurm.copy_code", lambda sweep: tmp_path / "code")
    return SlurmStub(tmp_path / "stub", monkeypatch)


@pytest.fixture
def sweep(composed: RunConfig, tmp_path: Path) -> Callable[..., Sweep]:
    def make(runs: int = 2, **cluster: Any) -> Sweep:
        changed = replace(composed.cluster, **cluster)
        points = [
            compose.Point(
                (), replace(composed, output_dir=str(tmp_path / "out"), seed=seed, cluster=changed)
            )
            for seed in range(runs)
        ]
        return submit.make_sweep(points)

    return make


def notes(sweep: Sweep) -> list[str | None]:
    found = []
    for point in sweep.runs:
        file = sweep.run_folder(point) / "submission.json"
        found.append(json.loads(file.read_text())["job_id"] if file.exists() else None)
    return found


def test_a_sweep_is_submitted_once(
    stub: SlurmStub, sweep: Callable[..., Sweep], capsys: pytest.CaptureFixture[str]
) -> None:
    assert slurm.run(sweep()) == 0
    assert "submitted 2 as job 17\n" in capsys.readouterr().out
    assert notes(sweep()) == ["17_0", "17_1"]
    pickles = [file.name for file in sweep().jobs.glob("17_*_submitted.pkl")]
    assert sorted(pickles) == ["17_0_submitted.pkl", "17_1_submitted.pkl"]
    assert slurm.run(sweep()) == 0
    assert "2 are queued or running already" in capsys.readouterr().out
    assert stub.queued() == ["17"]


def test_commands_at_once_submit_once(stub: SlurmStub, sweep: Callable[..., Sweep]) -> None:
    stub.do(slow=1)
    ready = sweep()
    shells = [threading.Thread(target=slurm.run, args=(ready,)) for _ in range(3)]
    for shell in shells:
        shell.start()
    for shell in shells:
        shell.join()
    assert stub.queued() == ["17"]


def test_a_lock_holds_against_other_processes(
    stub: SlurmStub, sweep: Callable[..., Sweep], capsys: pytest.CaptureFixture[str]
) -> None:
    ready = sweep()
    code = (
        "import sys; from pathlib import Path; from freqexp.locks import locked\n"
        "with locked(Path(sys.argv[1]), print): print('in', flush=True); sys.stdin.read()"
    )
    file = ready.root / "sweeps" / slurm.LOCK
    with subprocess.Popen(
        [sys.executable, "-c", code, str(file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "in\n"
        waiting = threading.Thread(target=slurm.run, args=(ready,))
        waiting.start()
        time.sleep(0.3)
        assert stub.queued() == []
        other.kill()
        waiting.join()
    assert stub.queued() == ["17"]
    assert "another command is submitting into" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("does", "job"),
    [
        ({"says": "Your job 0 credits remain\nSubmitted batch job {job}"}, "17"),
        ({"says": "job 3 of 9 today\nSubmitted batch job {job}\njob 5 was yours, too"}, "17"),
        ({"says": "{job}"}, "17"),
        ({"says": ""}, "17"),
        ({"says": "queued, have a nice day; job 4711"}, "17"),
        ({"says": "", "errs": "sbatch: error: Socket timed out on send/recv", "code": 1}, "17"),
    ],
)
def test_the_number_is_that_of_the_job(
    does: dict[str, Any], job: str, stub: SlurmStub, sweep: Callable[..., Sweep]
) -> None:
    stub.do(**does)
    slurm.run(sweep())
    assert notes(sweep()) == [f"{job}_0", f"{job}_1"]
    slurm.run(sweep())
    assert stub.queued() == [job]


@pytest.mark.parametrize("says", ["12", "", "done: job 12"])
def test_an_unclear_answer_is_quoted(
    says: str, stub: SlurmStub, sweep: Callable[..., Sweep]
) -> None:
    """Nothing may be claimed that nobody knows, and nothing may be submitted twice."""
    stub.do(says=says, lost=True)
    ready = sweep()
    printed = f"it printed {says!r}" if says else "it printed nothing"
    with pytest.raises(UserError, match=f"{printed}.*job may be queued.*--name=freqexp-") as raised:
        slurm.run(ready)
    assert "nothing was submitted" not in str(raised.value)
    # It turns up later.
    job = {"name": f"freqexp-{ready.name}", "command": f"{ready.jobs}/.submission_file_x.sh"}
    (stub.folder / "jobs" / "12").write_text(json.dumps({**job, "last": "1"}))
    stub.do(first=30)
    with pytest.raises(UserError, match=r"job 12 of it is queued.*first scancel 12"):
        slurm.run(ready)
    (stub.folder / "jobs" / "12").unlink()
    slurm.run(ready)
    assert notes(ready) == ["31_0", "31_1"]


def test_a_first_refusal_submits_nothing(stub: SlurmStub, sweep: Callable[..., Sweep]) -> None:
    stub.do(refuse_from=0, errs="sbatch: error: Batch job submission failed: Invalid qos")
    with pytest.raises(UserError, match=r"nothing was submitted: Batch job .*: Invalid qos\."):
        slurm.run(sweep())
    assert notes(sweep()) == [None, None]


def test_a_later_refusal_says_what_is_queued(
    stub: SlurmStub, sweep: Callable[..., Sweep], capsys: pytest.CaptureFixture[str]
) -> None:
    stub.do(array=2, refuse_from=2, errs="sbatch: error: QOSMaxSubmitJobPerUserLimit")
    assert slurm.run(sweep(7)) == 1
    shown = capsys.readouterr()
    assert "submitted 4 as job 17, 18\n" in shown.out
    assert "cancel:  scancel 17 18\n" in shown.out
    assert "refused array 3 of 4: QOSMaxSubmitJobPerUserLimit. 4 runs are submitted" in shown.err
    assert "3 are not" in shown.err
    assert notes(sweep(7)) == ["17_0", "17_1", "18_0", "18_1", None, None, None]
    stub.do(array=4)
    assert slurm.run(sweep(7)) == 0
    assert "submitted 3 as job 20\n" in capsys.readouterr().out


def test_a_job_on_another_cluster_is_asked_for_there(
    stub: SlurmStub, sweep: Callable[..., Sweep], capsys: pytest.CaptureFixture[str]
) -> None:
    stub.do(says="Submitted batch job {job} on cluster north", elsewhere=True)
    slurm.run(sweep())
    assert "cancel:  scancel -M north 17\n" in capsys.readouterr().out
    slurm.run(sweep())
    assert "2 are queued or running already" in capsys.readouterr().out
    assert stub.queued() == ["17"]
    sweep_status(sweep().folder / "sweep.json")
    asked, _ = json.loads((stub.folder / "squeue.json").read_text())
    assert asked[asked.index("-M") + 1] == "north"
    todo = sort_out(sweep(), ["17_0", "17_1"])
    assert len(todo.submit) == 2, "the same numbers on the default cluster are other jobs"


@pytest.mark.parametrize(
    ("line", "keys"),
    [
        ("JOBID|STATE|REASON|NAME|COMMAND", []),
        ("CLUSTER: north", []),
        ("*** maintenance on Monday | be warned ***", []),
        ("5|RUNNING|None|mine|/x y", ["5"]),
        ("5_[0-2,7]|PENDING|Resources|freqexp-a|/x", ["5_0", "5_1", "5_2", "5_7"]),
        ("5_[4-8:2%3]|PENDING|None|freqexp-a|/x", ["5_4", "5_6", "5_8"]),
        ("9+1|PENDING|None|somebody's|/x", []),
    ],
)
def test_odd_lines_of_squeue(line: str, keys: list[str]) -> None:
    assert list(queue.read_jobs(f"{line}\n")) == keys


def test_a_job_that_cannot_be_read_stops_the_submission() -> None:
    with pytest.raises(UserError, match=r"no job that is known: 5_.0-9,"):
        queue.read_jobs("5_[0-9,...]|PENDING|None|freqexp-a|/x\n")


def test_a_header_stops_nothing(stub: SlurmStub, sweep: Callable[..., Sweep]) -> None:
    stub.do(header="JOBID|STATE\nall quiet here")
    slurm.run(sweep())
    assert stub.queued() == ["17"]


def test_nothing_of_an_allocation_around_is_handed_on(
    stub: SlurmStub, sweep: Callable[..., Sweep], monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign = {
        "SLURM_JOB_ID": "4",
        "SLURM_NTASKS": "9",
        "SLURM_PROCID": "3",
        "SLURM_MEM_PER_CPU": "100",
        "SLURM_ARRAY_TASK_ID": "2",
        "SBATCH_TIMELIMIT": "1",
        "SBATCH_GPUS_PER_NODE": "7",
        "SBATCH_PARTITION": "short",
        "SQUEUE_STATES": "RUNNING",
        "SUBMITIT_EXECUTOR": "local",
        "CUDA_VISIBLE_DEVICES": "2",
        "WORLD_SIZE": "8",
    }
    kept = {"SLURM_CONF": "/etc/slurm.conf", "SBATCH_ACCOUNT": "vision", "MY_DATA": "/data"}
    for name, value in {**foreign, **kept}.items():
        monkeypatch.setenv(name, value)
    ready = sweep(partition="gpu")
    assert surroundings.defaults(ready.cluster) == {"SBATCH_ACCOUNT": "vision"}
    slurm.run(ready)
    (given,) = stub.calls
    assert foreign.keys() & given.keys() == set()
    assert {name: given[name] for name in ("SLURM_CONF", "MY_DATA")} == {
        name: kept[name] for name in ("SLURM_CONF", "MY_DATA")
    }
    assert given["SBATCH_ACCOUNT"] == "vision"
    _, asked = json.loads((stub.folder / "squeue.json").read_text())
    assert foreign.keys() & asked.keys() == set()


def test_what_is_queued_is_told_with_why_and_what_differs(
    stub: SlurmStub, sweep: Callable[..., Sweep], capsys: pytest.CaptureFixture[str]
) -> None:
    stub.do(reason="PartitionNodeLimit")
    slurm.run(sweep(mem_gb=400.0, time="3-00:00:00"))
    capsys.readouterr()
    slurm.run(sweep(mem_gb=64.0, time="01:00:00"))
    shown = capsys.readouterr().out
    assert "    job 17: 2 pending (PartitionNodeLimit)\n" in shown
    assert "submitted with cluster.mem_gb=400.0, now 64.0; cluster.time=3-00:00:00, now 01" in shown
    assert "to submit them anew: scancel 17; then the same command again\n" in shown
    slurm.run(sweep(mem_gb=400.0, time="3-00:00:00"))
    assert "to submit them anew" not in capsys.readouterr().out


def test_a_dry_run_compares_with_the_cluster_first(
    stub: SlurmStub, sweep: Callable[..., Sweep]
) -> None:
    with pytest.raises(ConfigError, match=r"cluster.partition: got 'gpus', allowed: gpu, short"):
        dry_run.show(sweep(partition="gpus"))
    with pytest.raises(ConfigError) as raised:
        dry_run.show(sweep(partition="short", mem_gb=20.0, cpus_per_gpu=9, time="10"))
    said = str(raised.value)
    assert re.search("cluster.cpus_per_gpu: got 9, allowed: at most 8", said)
    assert re.search("cluster.mem_gb: got 20.0, allowed: at most 16000 MB", said)
    assert stub.calls == []


@pytest.mark.parametrize("place", ["shutil.copyfile", "submitit.core.utils.DelayedSubmission.dump"])
def test_a_full_disk_is_said_in_a_line(
    place: str, stub: SlurmStub, sweep: Callable[..., Sweep], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    ready = sweep()
    if place.startswith("shutil"):
        monkeypatch.setattr("freqexp_cluster.slurm.copy_code", copy_code)
    monkeypatch.setattr(place, full)
    with pytest.raises(UserError, match="No space left on device") as raised:
        slurm.run(ready)
    assert len(str(raised.value)) < 400
    assert "\n" not in str(raised.value)
    assert stub.calls == []
