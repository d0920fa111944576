"""Whole sweeps on a real SLURM."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from acting_reader import LOADING, answers, gpus, install
from slurm_fixture import Slurm, until
from wandb_double import wandb_double

import freqexp
from freqexp.results.record_file import load_records

ROOT = Path(freqexp.__file__).parents[1]
CHECKOUT = "checkout"
TIMES = ("_ms", "_ms_median", "peak_memory_bytes")
SLURM = (
    "cluster=slurm",
    "cluster.cpus_per_gpu=1",
    "cluster.threads=1",
    "cluster.time=10",
    "tracking='off'",
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the code: an edit while the tests run must not make other runs of the same line."""
    copy = tmp_path_factory.getbasetemp() / CHECKOUT
    if not copy.exists():  # of another module of tests
        copy_code(copy)
    return copy


def copy_code(target: Path) -> None:
    for name in ("freqexp", "conf", "launchers"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, target / name, ignore=ignored)


def command(
    *arguments: str, cwd: Path, root: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """`python -m freqexp.run` in `cwd`, where an installed acting reader is found."""
    root = cwd.parent / CHECKOUT if root is None else root
    path = os.pathsep.join([str(root), str(cwd / "acting")])
    return subprocess.run(
        [sys.executable, "-m", "freqexp.run", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=500,
    )


def summaries(outputs: Path) -> dict[str, dict[str, Any]]:
    """Every summary by run id, without times and memory."""
    found = {}
    for file in outputs.glob("runs/*/summary.json"):
        summary = json.loads(file.read_text())
        found[file.parent.name] = {
            name: value for name, value in summary.items() if not name.endswith(TIMES)
        }
    return found


def records(outputs: Path) -> list[dict[str, Any]]:
    """Every record of the only run, without times and memory, in the order of its data."""
    (file,) = outputs.glob("runs/*/records.jsonl")
    found = [
        {name: value for name, value in vars(record).items() if not name.endswith(TIMES)}
        for record in load_records(file)
    ]
    return sorted(found, key=lambda record: int(record["index"]))


def job_of(shown: str) -> str:
    """The array's id in what the command printed."""
    (line,) = [line for line in shown.splitlines() if line.strip().startswith("submitted")]
    return line.split()[-1]


def folder_of(outputs: Path, keep: str) -> Path:
    """The run folder of a keep ratio, or of "none"."""
    for file in outputs.glob("runs/*/config.yaml"):
        lines = file.read_text().splitlines()
        baseline = "  name: none" in lines
        if (keep == "none") == baseline and (baseline or f"keep_ratio: {keep}" in lines):
            return file.parent
    raise AssertionError(f"no run of {keep}")


def task_of(outputs: Path, keep: str) -> str:
    """The array task of a keep ratio."""
    return str(json.loads((folder_of(outputs, keep) / "submission.json").read_text())["job_id"])


def test_a_sweep_says_the_same_as_on_this_machine(slurm: Slurm, tmp_path: Path) -> None:
    sweep = ("-m", "compressor=token", "keep_ratio=0.5,0.9", "samples=2")
    there = command(*sweep, *SLURM, "cluster.wait=true", "output_dir=there", cwd=tmp_path)
    assert there.returncode == 0, there.stderr
    assert set(slurm.states(job_of(there.stdout)).values()) == {"COMPLETED"}
    here = command(*sweep, "tracking='off'", "output_dir=here", cwd=tmp_path)
    assert here.returncode == 0, here.stderr
    found = summaries(tmp_path / "there")
    assert found == summaries(tmp_path / "here")
    assert len(found) == 3
    assert sum(summary["delta"] is not None for summary in found.values()) == 2
    again = command(*sweep, *SLURM, "output_dir=there", cwd=tmp_path)
    assert "3 are done" in again.stdout
    assert "submitted" not in again.stdout


def test_one_bad_point_takes_no_other_with_it(slurm: Slurm, tmp_path: Path) -> None:
    install(
        tmp_path / "acting",
        {
            # Not before the second command has looked at the queue.
            "0.1": [{"at": LOADING, "do": "sleep", "seconds": 20}, {"at": LOADING, "do": "raise"}],
            "0.2": [{"at": 1, "do": "sleep", "seconds": 20}, {"at": 1, "do": "kill"}],
            "0.3": [{"at": 1, "do": "requeue", "seconds": 60, "times": 2}],
            "0.4": [{"at": 1, "do": "sleep", "seconds": 300}],
        },
    )
    sweep = ("-m", "compressor=token", "keep_ratio=0.1,0.2,0.3,0.4,0.5,0.6", "samples=4")
    cluster = (*SLURM, "cluster.signal_delay_s=40", "cluster.max_parallel=5")
    first = command(*sweep, *cluster, cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    job = job_of(first.stdout)
    outputs = tmp_path / "outputs"
    twice = command(*sweep, *cluster, cwd=tmp_path)
    assert "submitted" not in twice.stdout
    assert "queued or running already" in twice.stdout

    asleep = tmp_path / "acting" / "0.4-0.count"
    until(lambda: asleep.exists() and asleep.read_text() == "x", 200)
    limited = task_of(outputs, "0.4")
    slurm.run("scontrol", "update", f"JobId={limited}", "TimeLimit=1")
    until(lambda: slurm.show(limited)["Restarts"] == "1", 120)
    slurm.run("scontrol", "update", f"JobId={limited}", "TimeLimit=10")
    states = slurm.wait(job, seconds=400)

    by_keep = {}
    for keep in ("none", "0.1", "0.2", "0.3", "0.4", "0.5", "0.6"):
        by_keep[keep] = states[task_of(outputs, keep)]
    bad = {"0.1": "FAILED", "0.2": "FAILED"}
    assert by_keep == {keep: bad.get(keep, "COMPLETED") for keep in by_keep}
    assert slurm.show(task_of(outputs, "0.3"))["Restarts"] == "2"
    error = (folder_of(outputs, "0.1") / "error.txt").read_text()
    assert "RuntimeError: the reader broke" in error
    assert len(summaries(outputs)) == 5

    second = command(*sweep, *cluster, "cluster.wait=true", cwd=tmp_path)

    assert second.returncode == 0, second.stderr
    assert "submitted 2 as job" in second.stdout
    done = answers(tmp_path / "acting")
    assert len(done) == len(set(done)) == 7 * 4
    found = summaries(outputs)
    assert len(found) == 7
    assert all(summary["delta"] is not None for summary in found.values() if summary["keep_ratio"])
    assert not (folder_of(outputs, "0.1") / "error.txt").exists()


def test_four_processes_answer_what_one_does(slurm: Slurm, tmp_path: Path) -> None:
    install(tmp_path / "acting", {"none": [{"at": 0, "do": "kill"}]})
    sweep = ("compressor=none", "samples=9", "cluster.gpus_per_node=4")
    one = (*sweep, *SLURM, "cluster.wait=true", "output_dir=one", "cluster.processes=1")
    killed = command(*one, cwd=tmp_path)
    assert killed.returncode == 1
    assert "killed or cancelled" in killed.stderr
    assert command(*one, cwd=tmp_path).returncode == 0
    (tmp_path / "acting" / "none-0.count").unlink()
    (tmp_path / "acting" / "answers.txt").write_text("")

    four = (*sweep, *SLURM, "cluster.wait=true", "output_dir=four")
    assert command(*four, cwd=tmp_path).returncode == 1
    (folder,) = (tmp_path / "four" / "runs").iterdir()
    assert not (folder / "summary.json").exists()
    done = command(*four, "cluster.processes=3", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    names = answers(tmp_path / "acting")
    assert len(names) == len(set(names)) == 9
    assert sorted(gpus(tmp_path / "acting"))[-1] == "3"
    assert [file.name for file in folder.glob("records*")] == ["records.jsonl"]
    assert records(tmp_path / "one") == records(tmp_path / "four")
    assert summaries(tmp_path / "one") == summaries(tmp_path / "four")


def test_a_run_grows_whoever_answers_and_whoever_dies(slurm: Slurm, tmp_path: Path) -> None:
    run = (*SLURM, "compressor=none", "cluster.wait=true", "cluster.gpus_per_node=4")

    def ask(samples: int, processes: int, outputs: str = "out") -> str:
        given = (f"samples={samples}", f"cluster.processes={processes}", f"output_dir={outputs}")
        done = command(*run, *given, cwd=tmp_path)
        return f"{done.returncode} {done.stdout} {done.stderr}"

    acting = tmp_path / "acting"
    install(acting, {})
    assert ask(4, 1).startswith("0 ")
    assert len(answers(acting)) == 4
    install(acting, {"none": [{"at": 1, "do": "kill"}]})
    killed = ask(12, 3)
    assert killed.startswith("1 "), killed
    # The first process ends with the killed one, is told to, or sees that it is gone.
    said = "killed or cancelled|interrupted by SIGTERM|ended before its samples were answered"
    assert re.search(said, killed), killed
    assert 4 < len(set(answers(acting))) < 12
    assert ask(12, 2).startswith("0 ")
    given = answers(acting)
    assert len(set(given)) == 12
    again = ask(4, 4)
    assert "1 are done" in again
    assert re.search(r"samples: 4\n", again)
    assert answers(acting) == given

    assert ask(12, 1, "alone").startswith("0 ")
    assert records(tmp_path / "out") == records(tmp_path / "alone")
    assert summaries(tmp_path / "out") == summaries(tmp_path / "alone")


def test_edits_after_submission_change_nothing(slurm: Slurm, tmp_path: Path) -> None:
    install(tmp_path / "acting", {})
    checkout = tmp_path / "checkout"
    copy_code(checkout)
    arguments = ("-m", "compressor=none", "samples=2", "seed=0,1", *SLURM)
    slurm.run("scontrol", "update", "PartitionName=gpu", "State=DOWN")
    try:
        done = command(*arguments, cwd=tmp_path, root=checkout)
        assert done.returncode == 0, done.stderr
        (checkout / "conf" / "run.yaml").write_text("edited: true\n")
        (checkout / "conf" / "model" / "tiny.yaml").unlink()
        for file in ("identity.py", "execute.py", "record.py"):
            (checkout / "freqexp" / file).write_text("raise SystemExit('edited')\n")
        edited = tmp_path / "outputs" / "runs"
        victim = min(edited.iterdir())
        (victim / "config.yaml").write_text((victim / "config.yaml").read_text() + "\n")
    finally:
        slurm.run("scontrol", "update", "PartitionName=gpu", "State=UP")
    states = slurm.wait(job_of(done.stdout), seconds=200)
    assert sorted(states.values()) == ["COMPLETED", "FAILED"]
    assert "was changed after it was submitted" in (victim / "error.txt").read_text()
    assert len(summaries(tmp_path / "outputs")) == 1


def test_what_the_cluster_cannot_do_is_said_before_anything(slurm: Slurm, tmp_path: Path) -> None:
    def refused(*more: str) -> str:
        done = command("samples=1", *SLURM, *more, cwd=tmp_path)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
        return done.stderr

    assert "cluster.partition: got 'nowhere', allowed: gpu, short" in refused(
        "cluster.partition=nowhere"
    )
    said = refused("cluster.gpus_per_node=5", "cluster.partition=short")
    assert "cluster.gpus_per_node: got 5, allowed: at most 4" in said
    assert (
        "cluster.time: got '10', allowed: at most 5 minutes, the limit of partition short" in said
    )
    assert "cluster.mem_gb: got 9999.0, allowed: at most" in refused("cluster.mem_gb=9999")
    said = refused("cluster.extra.reservation=nobodys")
    assert "sbatch refused the sweep, nothing was submitted: Batch job submission failed" in said
    assert not list(tmp_path.glob("outputs/runs/*/submission.json"))
    assert slurm.states() == {} or set(slurm.states().values()).isdisjoint({"PENDING", "RUNNING"})


def test_a_cancelled_point_is_submitted_again(slurm: Slurm, tmp_path: Path) -> None:
    install(tmp_path / "acting", {"none": [{"at": 1, "do": "sleep", "seconds": 200}]})
    arguments = ("compressor=none", "samples=3", *SLURM)
    job = job_of(command(*arguments, cwd=tmp_path).stdout)
    started = tmp_path / "acting" / "none-0.count"
    until(lambda: started.exists() and started.read_text() == "x", 120)
    slurm.run("scancel", job)
    assert set(slurm.wait(job).values()) == {"CANCELLED"}
    (folder,) = (tmp_path / "outputs" / "runs").iterdir()
    assert json.loads((folder / "interrupted.json").read_text())["requeued"] is False
    done = command(*arguments, "cluster.wait=true", "cluster.retry=failed", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    names = answers(tmp_path / "acting")
    assert len(names) == len(set(names)) == 3


def test_a_requeued_run_goes_on_in_wandb(
    slurm: Slurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Left as preempted, then taken up by the next life: one W&B run, each sample once."""
    requeue = {"at": 2, "do": "requeue", "seconds": 60}
    install(tmp_path / "acting", {"none": [requeue]})
    monkeypatch.delenv("WANDB_MODE", raising=False)
    with wandb_double() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
        online = (*SLURM[:-1], "tracking=online", "cluster.signal_delay_s=40")
        done = command("compressor=none", "samples=4", *online, "cluster.wait=true", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        ((name, run),) = server.runs.items()
        history = [json.loads(line) for line in server.history(name)]
        preempting, codes = list(server.preempting), dict(server.exit_codes)
    assert slurm.show(task_of(tmp_path / "outputs", "none"))["Restarts"] == "1"
    assert preempting == [name]
    assert codes == {name: 0}
    assert run["jobType"] == "none"
    sent = [line["sample/index"] for line in history if "sample/index" in line]
    assert sent == [0, 1, 2, 3]
    begun = answers(tmp_path / "acting")
    assert len(begun) == len(set(begun)) == 4
