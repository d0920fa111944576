from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from freqexp import __version__, run
from freqexp.composing.help import COLUMNS, GROUPS, help_text
from freqexp.config.run import RunConfig
from freqexp.errors import UserError
from freqexp.paths import conf_dir
from freqexp.running import sweep


def command(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "freqexp.run", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(Path(run.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )


def cpu_seconds_of_children() -> float:
    """Of those that have ended; other than wall time, the same on a busy machine."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def test_help_is_there_at_once(tmp_path: Path) -> None:
    times = []
    for _ in range(3):
        start = cpu_seconds_of_children()
        done = command("--help", cwd=tmp_path)
        times.append(cpu_seconds_of_children() - start)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(f"freqexp {__version__}: ")
    assert min(times) < 0.8


def test_help_names_every_option_value_and_group() -> None:
    text = help_text(conf_dir())
    lines = text.splitlines()
    assert max(map(len, lines)) <= COLUMNS
    for group in GROUPS:
        for file in (conf_dir() / group).glob("*.yaml"):
            (line,) = [x for x in lines if x[14:].split("  ")[0] == file.stem and x[:1] == " "][:1]
            assert line[31:].strip()
    for name in RunConfig.__dataclass_fields__:
        assert name in GROUPS or f"{name}=" in text


def test_help_marks_the_defaults() -> None:
    lines = help_text(conf_dir()).splitlines()
    marked = [line[14:].split()[0] for line in lines if line[13:14] == "*"]
    assert marked == ["tiny", "block_dct", "aggressive", "2", "local"]


def test_bad_input_is_told_without_a_traceback(tmp_path: Path) -> None:
    done = command("compressor=foo", "keep_ratio=1.5", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    title, compressor, keep_ratio = done.stderr.splitlines()
    assert title == "freqexp: nothing was computed"
    assert compressor.startswith("compressor: got 'foo', allowed: ")
    assert {"block_dct", "none", "token"} <= set(compressor.split("allowed: ")[1].split(", "))
    assert keep_ratio == "keep_ratio: got 1.5, allowed: a number above 0 and at most 1"
    assert list(tmp_path.iterdir()) == []


def test_the_configuration_can_be_printed_from_any_folder(tmp_path: Path) -> None:
    done = command("--cfg", "job", "--resolve", "needles=8", "compressor=token", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "count: 8" in done.stdout
    assert "form: short" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_version(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["run", "--version"])
    assert run.main() == 0
    assert capsys.readouterr().out == f"freqexp {__version__}\n"


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (KeyboardInterrupt(), 130, "the same command continues where it stopped"),
        (UserError("records.jsonl, line 3: broken"), 2, "freqexp: records.jsonl, line 3: broken"),
        (sweep.PointsError(["token keep 0.5: broken"], []), 1, "token keep 0.5: broken"),
        (None, 0, ""),
    ],
)
def test_how_a_run_ends_is_its_exit_code(
    error: BaseException | None,
    code: int,
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = []

    def run_points(
        configs: list[object], mirrors: object, overrides: list[object], **_: object
    ) -> None:
        seen.append((len(configs), overrides))
        if error is not None:
            raise error

    monkeypatch.setattr(sweep, "run_points", run_points)
    monkeypatch.setattr(sys, "argv", ["run", "-m", "keep_ratio=0.3,0.5"])
    assert run.main() == code
    assert seen == [(2, [("keep_ratio=0.3",), ("keep_ratio=0.5",)])]
    shown = capsys.readouterr().err
    assert said in shown
    assert "Traceback" not in shown
    assert (shown == "") is (code == 0)


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def run_points(*_: object, **more: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(sweep, "run_points", run_points)
    monkeypatch.setattr(sys, "argv", ["run"])
    with pytest.raises(ZeroDivisionError):
        run.main()
