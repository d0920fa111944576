"""`cluster=workers`: whole sweeps in processes of this machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from acting_reader import LOADING, answers, install

import freqexp

ROOT = Path(freqexp.__file__).parents[1]

pytestmark = pytest.mark.slow


def test_a_broken_point_takes_no_other_with_it(tmp_path: Path) -> None:
    acts = {"0.3": [{"at": LOADING, "do": "raise"}], "0.5": [{"at": 1, "do": "kill"}]}
    install(tmp_path / "acting", acts)
    checkout = tmp_path / "checkout"
    for name in ("freqexp", "conf", "launchers"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, checkout / name, ignore=ignored)
    arguments = ("-m", "compressor=token", "keep_ratio=0.3,0.5", "samples=4", "tracking='off'")
    more = ("cluster=workers", "cluster.max_parallel=2", "cluster.processes=2")

    def run() -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join([str(checkout), str(tmp_path / "acting")])
        return subprocess.run(
            [sys.executable, "-m", "freqexp.run", *arguments, *more],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
        )

    first = run()
    assert first.returncode == 1
    assert "1 of the runs are complete, these are not:" in first.stderr
    assert "RuntimeError: the reader broke" in first.stderr
    assert "of 2 ended before" in first.stderr or "killed or cancelled" in first.stderr
    second = run()
    assert second.returncode == 0, second.stderr
    rows = [line for line in second.stdout.splitlines() if line.startswith(("none", "token"))]
    assert len(rows) == 3
    names = answers(tmp_path / "acting")
    assert len(names) == len(set(names)) == 3 * 4
    sweep = tmp_path / "outputs" / "sweeps" / "latest" / "sweep.json"
    for entry in json.loads(sweep.read_text())["runs"]:
        folder = tmp_path / "outputs" / "runs" / entry["run_id"]
        submission = json.loads((folder / "submission.json").read_text())
        assert (submission["executor"], submission["tasks"]) == ("workers", 2)
        assert Path(submission["log"]).is_file()
