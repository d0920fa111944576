"""Hydra's callbacks around the command and each of its runs."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobStatus
from hydra.experimental.callback import Callback
from omegaconf import OmegaConf
from run_fakes import Counting, fake_run_id

from freqexp.composing.callbacks import Events, frozen_events
from freqexp.composing.compose import Asked, ask
from freqexp.run import answer
from freqexp.running.progress import Lines
from freqexp.running.sweep import PointsError, run_points

HEARD: list[Any] = []
NAME = f"{__name__}.Listener"


class Listener(Callback):
    def on_run_start(self, config: Any, **more: Any) -> None:
        HEARD.append(("run start", config.samples))

    def on_run_end(self, config: Any, job_return: Any, **more: Any) -> None:
        HEARD.append(("run end", job_return.status))

    def on_multirun_start(self, config: Any, **more: Any) -> None:
        HEARD.append(("multirun start", config.samples))

    def on_multirun_end(self, config: Any, **more: Any) -> None:
        HEARD.append(("multirun end",))

    def on_job_start(self, config: Any, **more: Any) -> None:
        assert HydraConfig.get().runtime.output_dir == config.hydra.runtime.output_dir
        folder = Path(config.hydra.runtime.output_dir)
        assert not (folder / "records.jsonl").exists() or config.samples == 6
        HEARD.append(("start", config.compressor.name, config.keep_ratio, config.hydra.job.num))

    def on_job_end(self, config: Any, job_return: Any, **more: Any) -> None:
        folder = Path(config.hydra.runtime.output_dir)
        if job_return.status is JobStatus.COMPLETED:
            assert (folder / "summary.json").exists()
            HEARD.append(("end", config.compressor.name, job_return.return_value.samples))
        else:
            HEARD.append(("failed", config.compressor.name, str(job_return._return_value)))


class Broken(Callback):
    def on_job_start(self, config: Any, **more: Any) -> None:
        raise RuntimeError("no mail")


@pytest.fixture(autouse=True)
def heard() -> list[Any]:
    HEARD.clear()
    return HEARD


def asked(tmp_path: Path, *line: str, name: str = NAME) -> Asked:
    own = (f"+hydra.callbacks.x._target_={name}", f"output_dir={tmp_path}/out", "tracking=off")
    return ask([*line, *own])


def compute(found: Asked, counting: Counting) -> None:
    assert found.events is not None
    with found.events.command():
        run_points(
            [point.config for point in found.points],
            lambda cfg: [],
            [point.overrides for point in found.points],
            session=counting.session(),
            progress=Lines(io.StringIO()),
            watcher=found.events,
        )


def test_each_run_of_a_sweep_is_told_of_once(
    tmp_path: Path, counting: Counting, heard: list[Any]
) -> None:
    line = ("-m", "compressor=token", "keep_ratio=0.3,0.5", "samples=4")
    compute(asked(tmp_path, *line), counting)
    assert heard == [
        ("multirun start", 4),
        ("start", "none", 0.3, 0),
        ("end", "none", 4),
        ("start", "token", 0.3, 1),
        ("end", "token", 4),
        ("start", "token", 0.5, 2),
        ("end", "token", 4),
        ("multirun end",),
    ]
    heard.clear()
    compute(asked(tmp_path, *line), counting)  # from its files
    assert heard == [("multirun start", 4), ("multirun end",)]
    heard.clear()
    compute(asked(tmp_path, "compressor=none", "samples=6"), counting)  # a run that grows
    assert heard == [
        ("run start", 6),
        ("start", "none", 0.5, 0),
        ("end", "none", 6),
        ("run end", JobStatus.COMPLETED),
    ]


def test_a_run_that_fails_ends_as_failed(
    tmp_path: Path, counting: Counting, heard: list[Any]
) -> None:
    counting.reader.broken = {f"sample-{number:03d}" for number in range(9)}
    with pytest.raises(PointsError):
        compute(asked(tmp_path, "compressor=none", "samples=2"), counting)
    assert heard[2][:2] == ("failed", "none")
    assert "all 2 samples failed" in heard[2][2]
    assert heard[3] == ("run end", JobStatus.FAILED)


def test_a_callback_that_raises_stops_nothing(tmp_path: Path, counting: Counting) -> None:
    found = asked(tmp_path, "compressor=none", "samples=2", name=f"{__name__}.Broken")
    with pytest.warns(UserWarning, match=r"Broken\.on_job_start raised RuntimeError: no mail"):
        compute(found, counting)
    assert (tmp_path / "out" / "runs" / fake_run_id(found.points[0].config)).is_dir()


def test_the_command_hands_them_on(
    tmp_path: Path, heard: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_points(*_: Any, watcher: Any, arguments: Any, **more: Any) -> None:
        watcher.before(found.points[0].config, ["seed=1"], tmp_path)
        heard.append(tuple(arguments)[:1])

    monkeypatch.setattr("freqexp.running.sweep.run_points", run_points)
    found = asked(tmp_path, "seed=1")
    assert answer(found) == 0
    assert [entry[0] for entry in heard] == ["run start", "start", "seed=1", "run end"]


def test_what_a_node_needs_is_kept_in_a_file(tmp_path: Path, heard: list[Any]) -> None:
    found = asked(tmp_path, "compressor=token", "hydra.verbose=[freqexp.nowhere]")
    assert isinstance(found.events, Events)
    text = found.events.text()
    assert text is not None
    (tmp_path / "hydra.yaml").write_text(text)
    events = frozen_events(tmp_path / "hydra.yaml")
    assert events is not None
    assert events.acts
    events.before(found.points[0].config, ["compressor=token"], tmp_path)
    assert heard == [("start", "token", 0.5, 0)]
    assert frozen_events(tmp_path / "nowhere.yaml") is None
    plain = ask(["seed=1"]).events
    assert plain is not None
    assert plain.text() is None
    assert not plain.acts
    assert OmegaConf.create(text).hydra.callbacks.x._target_ == NAME
