"""What the command refuses, before any work, and what it hands on."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

import freqexp
from freqexp.search.__main__ import main
from freqexp.search.bisect import Search

RANGE = ["--low", "8", "--high", "16", "--resolution", "8"]


def refused(capsys: pytest.CaptureFixture[str], folder: Path, *typed: str) -> str:
    assert main([*typed, f"output_dir={folder / 'outputs'}", "tracking=off"]) == 2
    assert not (folder / "outputs").exists()
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["compressor=none"], "compressor: got 'none', allowed: a method that uses a keep ratio"),
        (["compressor=pixel_prune"], "compressor: got 'pixel_prune'"),
        (["compressor=webp_lossless"], "compressor: got 'webp_lossless'"),
        (["compressor=token", "cluster=slurm"], "cluster: got 'slurm', allowed: local"),
        (["compressor=token", "cluster=workers"], "cluster: got 'workers', allowed: local"),
        (["-m", "compressor=token,pool"], "runs: got 2, allowed: 1 in a search"),
        (["compressor=random_prune"], "compressor.seeds=1"),
        (["compressor=token", "samples=8"], "samples: got '8', allowed: --samples"),
        (["compressor=token", "keep_ratio=0.5"], "keep_ratio: got '0.5', allowed: --low"),
        (["compressor=token", "keep_tokens=5"], "keep_tokens: got 5, allowed: null"),
        (["compressor=token", "keep_like=pixel_prune"], "keep_like: got 'pixel_prune', allowed"),
        (["compressor=token", "baseline=false"], "baseline: got False, allowed: true"),
        (["compressor=tome", "compressor.steps=1"], "keep_ratio: got 0.1, allowed: 0.5 or more"),
        (
            [
                "compressor=block_dct",
                "--budget",
                "keep_tokens",
                "--low",
                "8",
                "--high",
                "16",
                "--resolution",
                "8",
            ],
            "compressor: got 'block_dct', allowed: a method that can be told how many tokens stay",
        ),
    ],
)
def test_refused(
    typed: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in refused(capsys, tmp_path, *typed)


def test_faults_of_the_run_and_of_the_search_come_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(capsys, tmp_path, "compressor=tokn", "--margin", "0", "--samples", "4,2")
    assert all(f"{name}: got " in said for name in ("compressor", "--margin", "--samples"))


def test_flags_of_hydra_show_and_run_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compressor=token", "--cfg", "job", f"output_dir={tmp_path / 'outputs'}"]) == 0
    assert "keep_ratio" in capsys.readouterr().out
    assert not (tmp_path / "outputs").exists()


def test_documented_commands_are_searches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    root = Path(freqexp.__file__).parents[1]
    plans = []

    class PlannedError(Exception):
        pass

    def stop(search: Search) -> None:
        plans.append(search.plan)
        raise PlannedError

    monkeypatch.setattr(Search, "run", stop)
    for page in ("README.md", "docs/search.md"):
        for typed in re.findall(r"python -m freqexp\.search ([^`#\n]+)", (root / page).read_text()):
            with pytest.raises(PlannedError):
                main([*shlex.split(typed), f"output_dir={tmp_path / 'outputs'}", "tracking=off"])
    assert [plan.margin for plan in plans] == [0.02, 0.02, 0.45]
    assert [len(plan.values) for plan in plans] == [19, 19, 5]
