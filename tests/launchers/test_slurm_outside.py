"""Methods from outside on a real SLURM: submitted, reported, computed again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from slurm_fixture import Slurm
from test_slurm_sweeps import SLURM, checkout, command, job_of
from their_package import install

__all__ = ["checkout"]
pytestmark = pytest.mark.slow

FIRST = """
from dataclasses import dataclass
from freqexp.schemas.method import CompressorConfig
from freqexp.tokens.scorer import Scorer

@dataclass
class FirstConfig(CompressorConfig):
    name: str = "first"
    stage = "token"
    def build(self, keep_ratio, profile):
        return First(keep_ratio)

class First(Scorer):
    def score(self, tokens):
        import torch
        return -torch.arange(len(tokens.features))
"""


def python(module: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """`python -m MODULE` with what is installed in `cwd`/acting."""
    path = os.pathsep.join([str(cwd.parent / "checkout"), str(cwd / "acting")])
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=500,
    )


def test_methods_from_outside_go_all_the_way(slurm: Slurm, tmp_path: Path) -> None:
    package = install(tmp_path / "acting")
    own = tmp_path / "mine" / "compressor"
    own.mkdir(parents=True)
    (own / "first.py").write_text(FIRST)
    sweep = (
        f"--config-dir={tmp_path / 'mine'}", "-m", "compressor=few_bits,variance,small_keys,first",
        "samples=2", "sweep_name=theirs",
    )  # fmt: skip
    sent = command(*sweep, *SLURM, cwd=tmp_path)
    assert sent.returncode == 0, sent.stderr
    # What is edited now is too late: the array runs from its own copy.
    whole = (package / "schema.py").read_text()
    (package / "schema.py").write_text("raise RuntimeError('edited')")
    (own / "first.py").write_text("raise RuntimeError('edited')")
    states = slurm.wait(job_of(sent.stdout), seconds=300)
    (package / "schema.py").write_text(whole)
    outputs = tmp_path / "outputs"
    logs = "\n".join(file.read_text()[-2000:] for file in outputs.glob("runs/*/error.txt"))
    assert set(states.values()) == {"COMPLETED"}, logs
    runs = {}
    for file in outputs.glob("runs/*/summary.json"):
        summary = json.loads(file.read_text())
        runs[summary["compressor"]] = (file.parent, summary)
    assert set(runs) == {"none", "few_bits", "variance", "small_keys", "first"}
    assert all(summary["samples"] == 2 for _, summary in runs.values())
    assert all(
        summary["delta"] is not None for name, (_, summary) in runs.items() if name != "none"
    )
    folder, _ = runs["variance"]
    note = json.loads((folder / "provenance.json").read_text())["outside"]["variance"]
    assert (note["package"], note["version"]) == ("their-methods", "1.2")

    report = python("freqexp.report", str(outputs / "sweeps" / "theirs"), cwd=tmp_path)
    assert report.returncode == 0, report.stderr
    assert all(name in report.stdout for name in runs)

    again = python("freqexp.reproduce", folder.name, cwd=tmp_path)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "identical on 2 samples" in again.stdout
    mine = runs["first"][0].name
    lost = python("freqexp.reproduce", mine, cwd=tmp_path)
    assert lost.returncode == 2
    assert f"{mine}: method first of file " in lost.stderr
    assert "--config-dir FOLDER" in lost.stderr
    (frozen,) = (outputs / "sweeps" / "theirs").glob("code-*/conf")
    found = python("freqexp.reproduce", mine, f"--config-dir={frozen}", cwd=tmp_path)
    assert found.returncode == 0, found.stdout + found.stderr

    text = (package / "variance.py").read_text()
    (package / "variance.py").write_text(text.replace("correction=0", "correction=1"))
    other = python("freqexp.reproduce", folder.name, cwd=tmp_path)
    assert "method variance of package their-methods 1.2: code " in other.stdout
    shutil.rmtree(tmp_path / "acting")
    gone = python("freqexp.reproduce", folder.name, cwd=tmp_path)
    assert gone.returncode == 2
    said = "method variance of package their-methods 1.2: nobody here has it"
    assert f"{said}; install their-methods 1.2" in gone.stderr
