from __future__ import annotations

import builtins
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from report_runs import cached, record
from run_fakes import Counting
from wandb_double import Double, fresh_wandb, wandb_double

from freqexp.config.run import Tracking
from freqexp.running.progress import Lines
from freqexp.running.sweep import run_points
from freqexp.schemas.choices import Question
from freqexp.schemas.kv import KVRandomConfig
from freqexp.schemas.tokens import TokenConfig
from freqexp.tracking import client as wandb_client
from freqexp.tracking import server as wandb_server
from freqexp.tracking.decided import who_decided
from freqexp.tracking.mirror import Mirrors
from freqexp.tracking.server import has_key, reachable, within

wandb = pytest.importorskip("wandb")

pytestmark = pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")

SECONDS_OF_DELAY = 15.0
"""With limits of a second each (see `short_limits`); a hang would last for minutes."""


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
def short_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same waiting as in real runs, but a second of it."""
    monkeypatch.setattr(wandb_client, "INIT_SECONDS", 1)
    monkeypatch.setattr(wandb_client, "FINISH_SECONDS", 1)
    monkeypatch.setattr(wandb_server, "REACH_SECONDS", 1.0)


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.name == "freqexp.tracking.mirror"]


def run(config: Any, counting: Counting, mode: Tracking, mirrors: Mirrors | None = None) -> float:
    """Seconds that a baseline and a token run of six samples took, which all succeed."""
    started = time.monotonic()
    summaries = run_points(
        [config(compressor=TokenConfig(), tracking=mode)],
        mirrors or Mirrors(),
        session=counting.session(),
        progress=Lines(io.StringIO()),
    )
    assert [summary.failed for summary in summaries] == [0, 0]
    return time.monotonic() - started


def offline_folders(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "outputs" / "wandb").glob("offline-run-*"))


def test_off_is_off(config: Any, counting: Counting, tmp_path: Path) -> None:
    assert Mirrors()(config(tracking=Tracking.off)) == []
    run(config, counting, Tracking.off)
    assert not (tmp_path / "outputs" / "wandb").exists()


@pytest.mark.parametrize("mode", [Tracking.offline, Tracking.auto])
def test_without_a_key_each_run_is_mirrored_in_files(
    mode: Tracking,
    config: Any,
    counting: Counting,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    run(config, counting, mode)
    folders = offline_folders(tmp_path)
    assert len(folders) == 2
    for folder in folders:
        kinds = {path.name.split("_")[0] for path in folder.rglob("*.png")}
        assert kinds == {"before", "after"}
        (table,) = folder.rglob("*.table.json")
        value = json.loads(table.read_text())
        assert value["columns"][:2] == ["sample_id", "needles"]
        assert len(value["data"]) == 6
    assert "wandb" not in capfd.readouterr().err.lower()
    run(config, counting, mode)
    assert offline_folders(tmp_path) == folders


def test_online_without_a_key_says_so_and_goes_offline(
    config: Any, counting: Counting, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run(config, counting, Tracking.online)
    assert len(offline_folders(tmp_path)) == 2
    (warning,) = warnings_in(caplog)
    assert warning.startswith("W&B: no API key for https://")


def test_a_server_gets_everything_once(
    config: Any, counting: Counting, server: Double, capfd: pytest.CaptureFixture[str]
) -> None:
    run(config, counting, Tracking.auto)
    none, token = server.runs.values()
    assert (none["jobType"], token["jobType"]) == ("none", "token")
    assert none["groupName"] == token["groupName"]
    assert none["project"] == "freqexp"
    assert token["tags"] == ["fake", "token", "2 needles", "keep 0.5", "aggressive"]
    sent = json.loads(token["config"])
    assert sent["compressor"]["value"]["energy"] == "l2"
    assert sent["model"]["value"]["render"]["name"] == "cells"
    history = [json.loads(line) for line in server.history(token["name"])]
    assert [line["sample/index"] for line in history[:6]] == list(range(6))
    assert all(line["sample/vision_tokens_out"] == 72 for line in history[:6])
    assert history[0]["images/before"]["count"] == history[0]["images/after"]["count"] == 1
    assert "images/before" not in history[1]
    assert history[6]["records"]["nrows"] == 6
    (line,) = server.files[token["name"]]["wandb-summary.json"]
    summary = json.loads(line)
    assert (summary["samples"], summary["vision_tokens_out"], summary["delta"]) == (6, 72, 0)
    # Before the end, the means of what there is.
    assert history[1]["decoder_tokens"] == 77
    scores = [line["sample/score"] for line in history[:3]]
    assert history[2]["accuracy"] == pytest.approx(sum(scores) / 3)
    assert history[5]["accuracy"] == pytest.approx(summary["accuracy"])
    assert server.exit_codes == {none["name"]: 0, token["name"]: 0}
    assert "wandb:" not in capfd.readouterr().err

    operations = list(server.operations)
    run(config, counting, Tracking.auto)
    assert server.operations == operations


def test_the_cache_of_a_run_is_mirrored(config: Any, server: Double, tmp_path: Path) -> None:
    cfg = config(
        compressor=KVRandomConfig(question=Question.seen),
        tracking=Tracking.online,
        keep_ratio=0.25,
        tags=["mine", "fake"],
        notes="why",
    )
    fields = cached(0.25, "seen", later_score=0.5, kv_ms=3.0, kv_codes_bytes=64, kv_end_bytes=9)
    first, second = record("a", 1.0, **fields), record("b", 0.0, **{**fields, "kv_cache_bytes": 0})
    client = wandb_client.Client(cfg, tmp_path / "runs" / "mine", True, 0)
    client.follow([first, second], None)
    client.conclude({"kv_share": 0.125, "question": "seen"}, [first, second])
    client.finish(interrupted=False)
    (run,) = server.runs.values()
    assert run["displayName"] == "fake, kv_random keep 0.25, 2 needles, question seen"
    assert run["tags"][-2:] == ["question seen", "mine"]
    assert run["notes"] == "why"
    one, two = (json.loads(line) for line in server.history("mine")[:2])
    sample = {name: value for name, value in one.items() if name.startswith("sample/")}
    assert sample["sample/kv_full_bytes"] == 9216 * 166
    assert sample["sample/kv_cache_bytes"] == sample["sample/kv_exact_bytes"] == 9216 * 166 // 4
    assert (sample["sample/kv_codes_bytes"], sample["sample/kv_ms"]) == (64, 3.0)
    assert sample["sample/later_score"] == 0.5
    assert "sample/kv_zeros_bytes" not in sample
    assert one["kv_share"] == pytest.approx(0.25)
    assert two["kv_share"] == pytest.approx(0.125)
    assert two["kv_end_bytes"] == 9
    (line,) = server.files["mine"]["wandb-summary.json"]
    assert (json.loads(line)["kv_share"], json.loads(line)["question"]) == (0.125, "seen")


def test_an_interrupted_run_goes_on_as_the_same_one(
    config: Any, counting: Counting, server: Double
) -> None:
    def interrupt(name: str) -> None:
        if name == "sample-003":
            raise KeyboardInterrupt

    counting.reader.on_answer = interrupt
    with pytest.raises(KeyboardInterrupt):
        run(config, counting, Tracking.online)
    (none,) = server.runs
    assert len(server.history(none)) == 3
    assert server.exit_codes == {none: 1}
    assert server.preempting == [none]
    counting.reader.on_answer = lambda name: None
    run(config, counting, Tracking.online)
    assert len(server.runs) == 2
    history = [json.loads(line) for line in server.history(none)]
    assert [line.get("sample/index") for line in history] == [0, 1, 2, 3, 4, 5, None]
    assert [line["_step"] for line in history] == list(range(7))


def test_a_dead_server_costs_nothing(
    config: Any,
    counting: Counting,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    assert run(config, counting, Tracking.auto) < SECONDS_OF_DELAY
    assert len(offline_folders(tmp_path)) == 2
    assert warnings_in(caplog) == [
        "W&B: http://127.0.0.1:9 does not answer, so this is mirrored offline"
    ]


@pytest.mark.usefixtures("short_limits")
def test_a_silent_server_costs_seconds(
    config: Any, counting: Counting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
        assert run(config, counting, Tracking.auto) < SECONDS_OF_DELAY
    assert len(offline_folders(tmp_path)) == 2


@pytest.mark.usefixtures("short_limits")
def test_a_broken_server_costs_seconds(
    config: Any, counting: Counting, server: Double, tmp_path: Path
) -> None:
    server.broken = True
    assert run(config, counting, Tracking.auto) < SECONDS_OF_DELAY
    assert len(offline_folders(tmp_path)) == 2


@pytest.mark.usefixtures("short_limits")
def test_a_server_that_breaks_mid_run_costs_seconds(
    config: Any,
    counting: Counting,
    server: Double,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def break_server(name: str) -> None:
        server.broken = server.broken or name == "sample-003"

    counting.reader.on_answer = break_server
    assert run(config, counting, Tracking.auto) < SECONDS_OF_DELAY
    # The baseline hit the end of the server; the run after it did not try again.
    assert len(offline_folders(tmp_path)) == 2
    assert "mirroring offline from now on" in caplog.text
    server.broken = False


def test_a_missing_package_is_one_warning(
    config: Any,
    counting: Counting,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    real = builtins.__import__

    def without_wandb(name: str, *rest: Any, **more: Any) -> Any:
        if name.split(".")[0] == "wandb":
            raise ModuleNotFoundError("No module named 'wandb'", name="wandb")
        return real(name, *rest, **more)

    with monkeypatch.context() as patch:
        patch.setattr(builtins, "__import__", without_wandb)
        patch.delitem(sys.modules, "wandb")
        run(config, counting, Tracking.auto)
    (warning,) = warnings_in(caplog)
    assert "No module named 'wandb'" in warning


def test_a_failing_client_is_a_warning(
    config: Any,
    counting: Counting,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(self: Any, *arguments: Any) -> None:
        raise RuntimeError("no space")

    monkeypatch.setattr(wandb_client.Client, "_log", fail)
    run(config, counting, Tracking.offline)
    assert "W&B: logging failed (RuntimeError: no space); no mirror" in caplog.text


def test_keys_are_found_where_wandb_finds_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not has_key("https://host.example")
    (tmp_path / "netrc").write_text("machine host.example login user password abc\n")
    (tmp_path / "netrc").chmod(0o600)
    assert has_key("https://host.example")
    assert not has_key("https://other.example")
    monkeypatch.setenv("WANDB_API_KEY", "abc")
    assert has_key("https://other.example")


def test_any_answer_is_an_answer(server: Double) -> None:
    assert reachable(server.url)
    assert not reachable("http://127.0.0.1:9")
    assert not reachable("nonsense")


def test_waiting_has_an_end() -> None:
    assert within(5, lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        within(5, lambda: 1 / 0)
    with pytest.raises(TimeoutError, match=r"within 0\.05 s"):
        within(0.05, lambda: time.sleep(0.5))


def sync(folder: Path) -> None:
    """`wandb sync` as a user types it."""
    done = subprocess.run(
        [sys.executable, "-m", "wandb", "sync", str(folder)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def assert_complete(server: Double, run_id: str, samples: int = 6) -> None:
    """The server has every record once, in order, the table and the run's own summary."""
    history = [json.loads(line) for line in server.history(run_id)]
    assert [line.get("sample/index") for line in history] == [*range(samples), None]
    assert history[-1]["records"]["nrows"] == samples
    summary = json.loads(server.files[run_id]["wandb-summary.json"][-1])
    assert summary["samples"] == samples
    assert summary["accuracy"] is not None


def test_sync_delivers_what_was_mirrored_offline(
    config: Any, counting: Counting, server: Double, tmp_path: Path
) -> None:
    run(config, counting, Tracking.offline)
    assert server.runs == {}
    folders = offline_folders(tmp_path)
    for folder in folders:
        sync(folder)
    assert len(server.runs) == 2
    token = next(run for run in server.runs.values() if run["jobType"] == "token")
    assert token["tags"] == ["fake", "token", "2 needles", "keep 0.5", "aggressive"]
    assert token["groupName"] is not None
    assert json.loads(token["config"])["model"]["value"]["render"]["name"] == "cells"
    assert any("images/before" in path for path in server.uploads)
    for name in server.runs:
        assert_complete(server, name)


@pytest.mark.usefixtures("short_limits")
@pytest.mark.parametrize("dies_at", ["sample-003", "sample-001"])
def test_what_a_dying_server_missed_is_synced_later(
    dies_at: str, config: Any, counting: Counting, server: Double, tmp_path: Path
) -> None:
    """In mid-run, and after the last sample, before the table and the finish."""
    counting.reader.on_answer = lambda name: setattr(
        server, "broken", server.broken or name == dies_at
    )
    started = time.monotonic()
    parts: Any = {"session": counting.session(), "progress": Lines(io.StringIO())}
    (summary,) = run_points([config(tracking=Tracking.auto)], Mirrors(), **parts)
    assert time.monotonic() - started < SECONDS_OF_DELAY
    assert (summary.samples, summary.failed) == (6, 0)
    server.broken = False
    (folder,) = offline_folders(tmp_path)
    sync(folder)
    assert_complete(server, summary.run_id)
    assert any("images/before" in path for path in server.uploads)


def test_a_wrong_key_is_a_warning(
    config: Any,
    counting: Counting,
    server: Double,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    server.key = "1" * 40
    assert run(config, counting, Tracking.online) < SECONDS_OF_DELAY
    (warning,) = warnings_in(caplog)
    assert warning.startswith("W&B: starting failed (")
    assert "offline" in warning
    assert len(offline_folders(tmp_path)) == 2
    assert server.runs == {}


@pytest.mark.parametrize("interrupted", [False, True])
def test_a_killed_wandb_process_is_replaced(
    interrupted: bool, config: Any, counting: Counting, server: Double
) -> None:
    """A scheduler's SIGTERM goes to every process of a job, and W&B's own one dies of it."""

    def kill(name: str) -> None:
        if name == "sample-003":
            for process in children_of_wandb():
                os.kill(process, signal.SIGTERM)
            time.sleep(0.5)
        if name == "sample-002" and interrupted:
            raise KeyboardInterrupt

    counting.reader.on_answer = kill
    cfg = config(tracking=Tracking.online)
    mirrors = Mirrors()
    parts: Any = {"session": counting.session(), "progress": Lines(io.StringIO())}
    if not interrupted:
        (summary,) = run_points([cfg], mirrors, **parts)
        assert_complete(server, summary.run_id)
        assert mirrors.mode == "online"
        return
    with pytest.raises(KeyboardInterrupt):
        run_points([cfg], mirrors, **parts)
    (name,) = server.runs
    assert len(server.history(name)) == 4
    assert server.preempting == [name]


def children_of_wandb() -> list[int]:
    listed = subprocess.run(
        ["ps", "-o", "pid=,comm=", "--ppid", str(os.getpid())], capture_output=True, text=True
    )
    return [int(row.split()[0]) for row in listed.stdout.splitlines() if "wandb-core" in row]


def test_a_later_life_completes_what_a_killed_one_did_not_send(
    config: Any, counting: Counting, server: Double
) -> None:
    """The records are the truth: what W&B never got of them is sent when the run goes on."""

    def interrupt(name: str) -> None:
        if name == "sample-003":
            raise KeyboardInterrupt

    counting.reader.on_answer = interrupt
    with pytest.raises(KeyboardInterrupt):
        run(config, counting, Tracking.off)
    counting.reader.on_answer = lambda name: None
    run(config, counting, Tracking.online)
    for name in server.runs:
        assert_complete(server, name)


def test_a_run_that_grows_is_one_run_with_every_sample_once(
    config: Any, counting: Counting, server: Double
) -> None:
    for samples in (4, 7, 4, 9):
        points = [config(tracking=Tracking.online, samples=samples)]
        lines = Lines(io.StringIO())
        run_points(points, Mirrors(), session=counting.session(), progress=lines)
    (none,) = server.runs
    history = [json.loads(line) for line in server.history(none)]
    logged = [line["sample/index"] for line in history if "sample/index" in line]
    assert logged == list(range(9))
    assert [line["records"]["nrows"] for line in history if "records" in line] == [4, 7, 9]
    summary = json.loads(server.summary(none))
    assert (summary["samples"], summary["history_tables"]) == (9, 3)
    assert server.exit_codes == {none: 0}


@pytest.mark.parametrize("mode", ["disabled", "offline"])
def test_the_users_own_switch_counts(
    mode: str,
    config: Any,
    counting: Counting,
    server: Double,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WANDB_MODE", mode)
    run(config, counting, Tracking.auto)
    assert server.runs == {}
    assert len(offline_folders(tmp_path)) == (2 if mode == "offline" else 0)


def test_what_decided_is_said_once(
    config: Any,
    counting: Counting,
    server: Double,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.setenv("WANDB_RUN_ID", "left-over")
    monkeypatch.setenv("WANDB_RESUME", "must")
    run(config, counting, Tracking.auto)
    said = [record.getMessage() for record in caplog.records if "W&B" in record.getMessage()]
    assert said == [
        "W&B: WANDB_RUN_ID, WANDB_RESUME do not count: each run has its own",
        "W&B: disabled by WANDB_MODE=disabled, so nothing is mirrored",
    ]


@pytest.mark.parametrize("word", ["disabled", "offline"])
def test_a_switch_left_in_a_folder_is_named(
    word: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / "settings"
    file.write_text(f"[default]\nmode = {word}\n")
    settings = SimpleNamespace(settings_workspace=str(file), settings_system="/nowhere")
    for name in ("WANDB_MODE", "WANDB_DISABLED"):
        monkeypatch.delenv(name, raising=False)
    assert who_decided(settings) == f"{file} (`wandb online` takes it back)"
    file.write_text("[default]\nproject = x\n")
    assert who_decided(settings) is None
