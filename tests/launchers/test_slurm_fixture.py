from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import slurm_fixture
from slurm_fixture import Slurm, SlurmError, missing, until
from slurm_keeper import processes_of
from spread import ON_SLURM, group_of

OWNER = """
import sys, time
sys.path.insert(0, sys.argv[1])
from slurm_fixture import running_slurm
with running_slurm() as slurm:
    slurm.wait(slurm.sbatch("env -i sleep 1000"), "RUNNING")
    print(slurm.folder, flush=True)
    time.sleep(1000)
"""


def test_an_array_gets_its_gpus(slurm: Slurm, tmp_path: Path) -> None:
    job = slurm.sbatch(
        "echo $CUDA_VISIBLE_DEVICES; exit $SLURM_ARRAY_TASK_ID",
        "--array=0-1",
        "--gpus-per-node=4",
        output=tmp_path / "%a.out",
    )
    assert slurm.wait(job) == {f"{job}_0": "COMPLETED", f"{job}_1": "FAILED"}
    assert {file.read_text() for file in tmp_path.iterdir()} == {"0,1,2,3\n"}
    assert slurm.run("sacct", "-o", "JobID,State,NodeList", "-j", job).splitlines()[0] == (
        "JobID|State|NodeList"
    )


def test_a_requeued_job_starts_again(slurm: Slurm) -> None:
    job = slurm.sbatch("sleep 100", "--requeue")
    slurm.wait(job, "RUNNING")
    slurm.requeue(job)
    slurm.wait(job, "PENDING")
    assert slurm.show(job)["Restarts"] == "1"


def test_each_test_finds_it_empty(slurm: Slurm) -> None:
    assert slurm.run("squeue", "-h") == ""
    assert os.environ["SLURM_CONF"] == slurm.env["SLURM_CONF"]


def test_what_slurm_refuses_is_said(slurm: Slurm) -> None:
    with pytest.raises(SlurmError, match="invalid partition"):
        slurm.sbatch("true", "--partition=nowhere")
    with pytest.raises(SlurmError, match="Requested node configuration is not available"):
        slurm.sbatch("true", "--gpus-per-node=5")


def test_all_that_need_it_run_in_one_process(request: pytest.FixtureRequest, slurm: Slurm) -> None:
    """Each process of the tests would start a SLURM of its own."""
    items = [i for i in request.session.items if "slurm_cluster" in getattr(i, "fixturenames", ())]
    assert request.node in items
    assert {group_of(item.nodeid) for item in items} == {ON_SLURM}


@pytest.mark.usefixtures("slurm_cluster")
def test_nothing_is_left_when_the_tests_are_killed() -> None:
    command = [sys.executable, "-c", OWNER, str(Path(slurm_fixture.__file__).parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        folder = Path(owner.stdout.readline().strip())
        assert len(processes_of(folder)) >= 6
        owner.kill()
    until(lambda: not folder.exists(), 10)
    assert not processes_of(folder)
    assert owner.returncode == -signal.SIGKILL


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(slurm_fixture, "SBIN", ())
    reason = missing()
    assert reason is not None
    assert reason.startswith("SLURM is not installed (munged, slurmctld, slurmd, sbatch")
    assert "apt-get install" in reason
