from __future__ import annotations

import json
import re
from pathlib import Path

from slurm_fixture import Slurm, until

from freqexp.status.points import sweep_status


def test_states_of_real_jobs(slurm: Slurm, tmp_path: Path) -> None:
    """One job each of what a night can bring, told apart by squeue, then by the logs alone."""
    scripts = {
        "runs": "echo started; sleep 100",
        "raises": "echo ValueError: x; exit 1",
        "killed": "kill -KILL $$",
        "cancelled": "echo started; sleep 100",
        "requeued": "echo started; sleep 100",
    }
    sweep = tmp_path / "sweeps" / "night" / "sweep.json"
    sweep.parent.mkdir(parents=True)
    sweep.write_text(json.dumps({"name": "night", "runs": [{"run_id": name} for name in scripts]}))
    jobs = {}
    for name, script in scripts.items():
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        log = folder / "log"
        jobs[name] = slurm.sbatch(script, "--array=0", "--requeue", output=log)
        value = {"job_id": f"{jobs[name]}_0", "executor": "slurm", "log": str(log), "tasks": 1}
        (folder / "submission.json").write_text(json.dumps(value))
        (folder / "records.jsonl").write_text("{}\n")
    for name in ("runs", "cancelled", "requeued"):
        # SLURM says "running" a moment before the script and its log begin.
        log = tmp_path / "runs" / name / "log"
        until(lambda log=log: log.exists() and "started" in log.read_text(), 20)
    slurm.run("scancel", jobs["cancelled"])
    slurm.requeue(jobs["requeued"])
    for name in ("raises", "killed", "cancelled"):
        slurm.wait(jobs[name])
    slurm.wait(jobs["requeued"], "PENDING")
    status = sweep_status(sweep)
    assert status.warning is None
    assert {point.run.run_id: point.state for point in status.points} == {
        "runs": "running",
        "raises": "failed",
        "killed": "failed",
        "cancelled": "cancelled",
        "requeued": "requeued",
    }
    notes = {point.run.run_id: point.note for point in status.points}
    assert notes["raises"] == "ValueError: x"
    assert notes["requeued"] == "requeues: 1, BeginTime"
    # SLURM forgets a job after a while.
    log = tmp_path / "runs" / "cancelled" / "log"
    # A line is written in pieces.
    until(lambda: re.search(r"CANCELLED .*\*\*\*", log.read_text()) is not None, 20)
    file = log.with_name("submission.json")
    file.write_text(file.read_text().replace(jobs["cancelled"], "999999"))
    states = {point.run.run_id: point.state for point in sweep_status(sweep).points}
    assert states["cancelled"] == "cancelled"
