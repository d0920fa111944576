from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from report_runs import write_run
from wandb_double import fresh_wandb

from freqexp.comparing.compare import compare
from freqexp.comparing.comparison import Comparison
from freqexp.comparing.load import load
from freqexp.report.build import Report, write_report
from freqexp.report.mirror import attach
from freqexp.report.pages import Limits
from freqexp.schemas.tokens import TokenConfig

wandb = pytest.importorskip("wandb")


@pytest.fixture(autouse=True)
def _fresh_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with fresh_wandb(tmp_path, monkeypatch):
        yield


@pytest.fixture
def written(tmp_path: Path) -> tuple[Comparison, Report]:
    write_run(tmp_path, "base", [1.0, 1.0])
    write_run(tmp_path, "ours", [1.0, 0.5], TokenConfig())
    comparison = compare(load([str(tmp_path)]))
    return comparison, write_report(comparison, tmp_path / "r", Limits(images=0))


def test_without_a_key_the_report_is_mirrored_offline(
    written: tuple[Comparison, Report], tmp_path: Path
) -> None:
    comparison, report = written
    said = attach(comparison, report, "auto")
    assert said.startswith(f"W&B: table and {len(report.figures)} figures are attached (offline")
    (folder,) = (tmp_path / "wandb").glob("offline-run-*")
    names = [path.name for path in folder.rglob("*.png")]
    assert sum("accuracy_decoder_tokens" in name for name in names) == 1
    assert len(names) == len(report.figures)
    assert list(folder.rglob("*.table.json"))


def test_a_failure_is_a_sentence(
    written: tuple[Comparison, Report], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: object) -> None:
        raise RuntimeError("no disk")

    monkeypatch.setattr(wandb, "init", fail)
    said = attach(*written, "offline")
    assert said == "W&B: RuntimeError: no disk; the report's files are complete"
