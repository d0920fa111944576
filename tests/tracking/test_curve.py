"""The curve of a training in W&B: each row once, and whatever fails is a warning."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from wandb_double import Double, fresh_wandb, wandb_double

from freqexp.config.run import Tracking
from freqexp.errors import UserError
from freqexp.schemas.tokens import TokenConfig
from freqexp.tracking import curve as tracked
from freqexp.tracking.curve import mirrored
from freqexp.train.adapt import command
from freqexp.train.adapt.curve import Curve

wandb = pytest.importorskip("wandb")

pytestmark = pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")

SETTINGS = {"adapt.steps": 4, "compressor.name": "token"}


@pytest.fixture(autouse=True)
def _fresh_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with fresh_wandb(tmp_path, monkeypatch):
        yield


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Double]:
    with wandb_double() as double:
        monkeypatch.setenv("WANDB_BASE_URL", double.url)
        monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
        yield double


@pytest.fixture
def run(config: Any) -> Any:
    """run(mode): a run that a training would take its settings from."""
    return lambda mode: config(compressor=TokenConfig(), tracking=mode)


def life(folder: Path, run: Any, resumed: int | None, *steps: int, done: bool = False) -> Curve:
    """A training's rows up to its end or where it leaves."""
    followers = mirrored(run, SETTINGS)
    curve = Curve(folder, followers)
    if resumed is not None:
        curve.resume(resumed)
    for step in steps:
        curve.add(step, {"answer": step / 2})
    for follower in followers:
        follower.finish(interrupted=not done)
    return curve


def history(server: Double) -> list[dict[str, Any]]:
    ((name, _),) = server.runs.items()
    return [json.loads(line) for line in server.history(name)]


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.message for each in caplog.records if each.name.startswith("freqexp.tracking")]


def test_each_row_is_there_once_over_three_lives(
    server: Double, run: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    life(tmp_path, run(Tracking.online), None, 0, 2)
    ((name, made),) = server.runs.items()
    assert server.preempting == [name]
    assert server.exit_codes == {name: 1}
    assert (made["displayName"], made["jobType"]) == ("adapt fake, token", "adapt")
    assert json.loads(made["config"])["adapt.steps"]["value"] == 4
    # Row 4 was logged, and the process killed before the checkpoint knew of it.
    life(tmp_path, run(Tracking.online), 2, 4)
    last = life(tmp_path, run(Tracking.online), 2, 4, 6, done=True)
    assert [row["step"] for row in last.rows] == [0, 2, 4, 6]
    rows = history(server)
    assert [(row["step"], row["answer"]) for row in rows] == [(0, 0), (2, 1), (4, 2), (6, 3)]
    assert [row["_step"] for row in rows] == [0, 1, 2, 3]
    assert server.exit_codes == {name: 0}
    assert warned(caplog) == []


def test_lives_in_files_are_sent_once(server: Double, run: Any, tmp_path: Path) -> None:
    life(tmp_path, run(Tracking.offline), None, 0, 2)
    life(tmp_path, run(Tracking.offline), 2, 4)
    life(tmp_path, run(Tracking.offline), 2, 4, 6, done=True)
    folders = sorted((tmp_path / "outputs" / "wandb").glob("offline-run-*"))
    command = [sys.executable, "-m", "wandb", "sync", *map(str, folders)]
    assert subprocess.run(command, capture_output=True, timeout=120).returncode == 0
    assert [row["step"] for row in history(server)] == [0, 2, 4, 6]


def test_other_settings_are_another_run(server: Double, run: Any) -> None:
    for settings in (SETTINGS, {**SETTINGS, "adapt.steps": 5}, SETTINGS):
        (mirror,) = mirrored(run(Tracking.online), settings)
        mirror.finish(interrupted=False)
    assert len(server.runs) == 2


def test_off_is_off(server: Double, run: Any, tmp_path: Path) -> None:
    assert mirrored(run(Tracking.off), SETTINGS) == []
    assert server.operations == []
    assert not (tmp_path / "outputs").exists()


def test_without_a_key_the_curve_is_mirrored_in_files(run: Any, tmp_path: Path) -> None:
    life(tmp_path, run(Tracking.auto), None, 0, 2, done=True)
    (folder,) = (tmp_path / "outputs" / "wandb").glob("offline-run-*")
    assert list(folder.glob("*.wandb"))


def test_without_wandb_the_curve_is_in_its_file_alone(
    run: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def missing(self: Any, cfg: Any) -> str:
        raise ModuleNotFoundError("No module named 'wandb'")

    monkeypatch.setattr("freqexp.tracking.mirror.Mirrors.choose", missing)
    assert len(life(tmp_path, run(Tracking.auto), None, 0, 2, done=True).rows) == 2
    assert warned(caplog) == ["W&B: No module named 'wandb'; the curve is in its file alone"]


def test_a_wrong_key_is_a_warning(
    server: Double, run: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.key = "1" * 40
    assert len(life(tmp_path, run(Tracking.online), None, 0, 2, done=True).rows) == 2
    (line,) = warned(caplog)
    assert line.startswith("W&B: ")
    assert line.endswith("; the curve is in its file alone")
    assert server.runs == {}


def test_a_server_that_breaks_holds_nothing_up(
    server: Double,
    run: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(tracked, "FINISH_SECONDS", 1)
    (mirror,) = mirrored(run(Tracking.online), SETTINGS)
    curve = Curve(tmp_path, [mirror])
    curve.add(0, {"answer": 1.0})
    server.broken = True
    started = time.monotonic()
    curve.add(2, {"answer": 1.0})
    mirror.finish(interrupted=False)
    assert time.monotonic() - started < 15
    assert len(curve.rows) == 2
    assert any(
        line.startswith("W&B: the end of the curve was not taken") for line in warned(caplog)
    )
    server.broken = False


def test_a_row_that_is_not_taken_is_a_warning(
    run: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        def log(self, row: Mapping[str, float]) -> None:
            raise RuntimeError("no space\nmore")

    (mirror,) = mirrored(run(Tracking.offline), SETTINGS)
    own = mirror._run
    mirror._run = Broken()
    curve = Curve(tmp_path, [mirror])
    curve.add(0, {"answer": 1.0})
    assert len(curve.rows) == 1
    assert warned(caplog) == ["W&B: a row of the curve was not taken (no space)"]
    mirror._run = own
    mirror.finish(interrupted=False)


def test_a_training_tells_how_it_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Interrupted, failed and done; nothing is trained."""
    from adapt_settings import tiny

    ends: list[bool] = []

    class Follower:
        def __call__(self, step: int, row: Mapping[str, float]) -> None: ...

        def finish(self, interrupted: bool) -> None:
            ends.append(interrupted)

    class Loop:
        outcome: Any = False
        step, leaving = 3, False

        def __init__(self, *given: Any) -> None: ...

        def resume(self) -> bool:
            return True

        def run(self, say: Any) -> bool:
            if isinstance(self.outcome, Exception):
                raise self.outcome
            return bool(self.outcome)

        def take_best(self) -> int:
            return 3

    class Student:
        weights, starts, said = (), False, SETTINGS

        def __init__(self, *given: Any) -> None: ...

    monkeypatch.setattr(command, "mirrored", lambda *given: [Follower()])
    monkeypatch.setattr(command, "Loop", Loop)
    monkeypatch.setattr(command, "Student", Student)
    monkeypatch.setattr(command, "write", lambda *given: None)
    given = tiny("compressor=merge", f"adapt.out={tmp_path}")
    assert command.adapt(*given) is False
    Loop.outcome = UserError("the loss is no number")
    with pytest.raises(UserError):
        command.adapt(*given)
    Loop.outcome = True
    assert command.adapt(*given) is True
    assert ends == [True, True, False]
