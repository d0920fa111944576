from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from report_runs import HOSTILE, write_run

from freqexp.report.__main__ import main
from freqexp.schemas.tokens import TokenConfig

wandb_settings = {"WANDB_MODE": "offline", "WANDB_SILENT": "true"}


def test_the_command_writes_everything(
    drawable: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["three", "--outputs", str(drawable), "--out", str(tmp_path / "r")]) == 0
    names = {path.name for path in (tmp_path / "r").iterdir()}
    assert {"report.html", "report.md", "table.tex", "table.csv", "differences.svg"} <= names
    shown = capsys.readouterr()
    assert "token" in shown.out
    assert "\x1b" not in shown.out
    assert shown.err == ""


def test_the_default_folder_is_named_after_the_sweep(
    drawable: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["three", "--outputs", str(drawable), "--images", "0"]) == 0
    assert (drawable / "reports" / "three" / "report.html").is_file()
    # What the report wrote is not taken for a run.
    assert main([str(drawable), "--outputs", str(drawable), "--images", "0"]) == 0
    capsys.readouterr()


def test_a_report_lies_beside_its_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("here", "there"):
        write_run(tmp_path / name, f"{name}-base", [1.0, 1.0])
        write_run(tmp_path / name, f"{name}-ours", [1.0, 0.5], TokenConfig())
    assert main(["there", "--images", "0"]) == 0
    assert (tmp_path / "there" / "reports" / "there" / "report.html").is_file()
    assert main(["here/runs/here-ours", "--images", "0"]) == 0
    assert (tmp_path / "here" / "reports" / "here-ours").is_dir()
    # Of several folders, and where nothing may be written, in the folder of the command.
    assert main(["here", "there", "--images", "0"]) == 0
    assert (tmp_path / "outputs" / "reports" / "here-there").is_dir()
    monkeypatch.setattr("freqexp.report.__main__.os.access", lambda path, mode: False)
    assert main(["there", "--images", "0"]) == 0
    assert (tmp_path / "outputs" / "reports" / "there").is_dir()
    capsys.readouterr()


@pytest.mark.parametrize(
    "arguments", [["nothing"], ["--margin", "0"], ["--images", "-1"], ["--baseline", "no"]]
)
def test_bad_input_is_one_message_and_exit_code_2(
    arguments: list[str], drawable: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--outputs", str(drawable), *arguments]) == 2
    message = capsys.readouterr().err
    assert message.startswith("freqexp.report: ")
    assert message.count("\n") == 1


def test_a_folder_that_cannot_be_written(
    drawable: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main([str(drawable), "--out", str(tmp_path / "file" / "r")]) == 2
    assert "--out: got" in capsys.readouterr().err


def test_files_alone_are_enough(tmp_path: Path) -> None:
    """No model, no torch, no W&B, no Hydra."""
    write_run(tmp_path, "base", [1.0, 1.0])
    write_run(tmp_path, "ours", [1.0, 0.5], TokenConfig(), answer=HOSTILE)
    code = f"""
import sys
for name in ("torch", "transformers", "wandb", "hydra", "scipy", "pandas"):
    sys.modules[name] = None
from freqexp.report.__main__ import main
code = main([{str(tmp_path)!r}, "--out", {str(tmp_path / "r")!r}, "--images", "0"])
sys.exit(code)
"""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("WANDB")}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "r" / "report.html").is_file()


def test_an_old_report_s_figures_do_not_stay(tmp_path: Path) -> None:
    write_run(tmp_path, "base", [1.0, 1.0])
    write_run(tmp_path, "ours", [1.0, 0.5], TokenConfig())
    out = tmp_path / "r"
    out.mkdir()
    (out / "accuracy_stored_bytes_9.png").write_text("old")
    (out / "mine.png").write_text("kept")
    assert main([str(tmp_path), "--out", str(out), "--images", "0"]) == 0
    assert not (out / "accuracy_stored_bytes_9.png").exists()
    assert (out / "mine.png").read_text() == "kept"
