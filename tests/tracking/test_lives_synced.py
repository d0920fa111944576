"""Runs of several lives, mirrored in files and sent afterwards: each record arrives once."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import run_fakes
from run_fakes import Counting
from test_tracking import _fresh_wandb, assert_complete, offline_folders, server
from wandb_double import Double

from freqexp.config.run import Tracking
from freqexp.results.record import settle
from freqexp.results.record_file import load_records
from freqexp.results.summarize import summarize
from freqexp.running.execute import run_folder
from freqexp.running.progress import Lines
from freqexp.running.sweep import run_points
from freqexp.schemas.compressor import CompressorConfig
from freqexp.schemas.method import NoneConfig
from freqexp.schemas.tokens import TokenConfig
from freqexp.tracking.mirror import Mirrors
from freqexp.tracking.naming import config_of
from freqexp.tracking.sent import FILE, Sent

__all__ = ["_fresh_wandb", "server"]
pytest.importorskip("wandb")
pytestmark = pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")


def live(config: Any, until: str | None, mode: Tracking = Tracking.offline) -> str:
    """One life that is left before the sample `until`. Gives the run's id."""
    counting = Counting()

    def leave(name: str) -> None:
        if name == until:
            raise KeyboardInterrupt

    counting.reader.on_answer = leave
    cfg = config(tracking=mode)
    parts: Any = {"session": counting.session(), "progress": Lines(io.StringIO())}
    try:
        run_points([cfg], Mirrors(), **parts)
    except KeyboardInterrupt:
        assert until is not None
    return run_fakes.fake_run_id(cfg)


def sync(folders: Sequence[Path]) -> None:
    command = [sys.executable, "-m", "wandb", "sync", *map(str, folders)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_all_folders_at_once(config: Any, server: Double, tmp_path: Path) -> None:
    for until in ("sample-004", "sample-002", "sample-002", None):
        run_id = live(config, until)
    sync(offline_folders(tmp_path))
    assert_complete(server, run_id)


def test_folders_one_after_the_other_and_in_between(
    config: Any, server: Double, tmp_path: Path
) -> None:
    live(config, "sample-003")
    sync(offline_folders(tmp_path))
    run_id = live(config, None)
    sync(offline_folders(tmp_path))
    sync(offline_folders(tmp_path))
    assert_complete(server, run_id)


def test_a_life_online_in_between(config: Any, server: Double, tmp_path: Path) -> None:
    live(config, "sample-004")
    live(config, "sample-002", Tracking.online)
    assert offline_folders(tmp_path) == []
    run_id = live(config, None)
    sync(offline_folders(tmp_path))
    assert_complete(server, run_id)


def test_a_folder_that_a_killed_life_left_is_made_again(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "a"
    run.mkdir(parents=True)
    folders = [tmp_path / "wandb" / f"offline-run-{number}-a" for number in range(4)]
    for folder in folders:
        folder.mkdir(parents=True)
    Sent(run / FILE, tmp_path).begin(folders[0].name, 0, 0)
    left = Sent(run / FILE, tmp_path)
    left.left(3, 0)
    left.begin(folders[1].name, 3, 0)
    killed = Sent(run / FILE, tmp_path)
    assert killed.before_offline(records=5) == (3, 0)
    assert [folder.exists() for folder in folders] == [True, False, True, True]
    killed.begin(folders[2].name, 3, 0)
    (folders[2] / "run-a.wandb.synced").write_text("")
    sent = Sent(run / FILE, tmp_path)
    assert sent.before_offline(records=7) == (7, 0)
    sent.begin(folders[3].name, 7, 0)
    sent.left(9, 1)
    shutil.rmtree(folders[0])
    assert Sent(run / FILE, tmp_path).before_offline(records=9) == (9, 1)
    Sent(run / FILE, tmp_path).before_online()
    assert [folder.exists() for folder in folders] == [False, False, True, False]


@pytest.mark.parametrize(("compressor", "ratio"), [(NoneConfig(), 1.0), (TokenConfig(), 0.3)])
def test_a_run_stands_where_it_belongs(
    compressor: CompressorConfig, ratio: float, config: Any
) -> None:
    found = config_of(config(compressor=compressor, keep_ratio=0.3))
    assert found["keep_ratio"] == ratio
    assert found["keep_tokens"] is None
    assert found["compressor"]["name"] == compressor.name


def test_a_baseline_that_ends_last_gives_the_difference(
    config: Any, server: Double, tmp_path: Path
) -> None:
    run_id = live(config, None, Tracking.online)
    cfg = config(tracking=Tracking.online)
    folder = run_folder(cfg, run_id)
    records = settle(load_records(folder / "records.jsonl"))
    ended = summarize(cfg, run_id, records, None)
    Mirrors().amend([(cfg, folder, ended.__class__(**{**vars(ended), "delta": 0.25}))])
    assert_complete(server, run_id)
    assert json.loads(server.files[run_id]["wandb-summary.json"][-1])["delta"] == 0.25
