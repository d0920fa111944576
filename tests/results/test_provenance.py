from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import features

from freqexp.config.saved import from_yaml
from freqexp.results import provenance

HASHES = {"weights_hash": "w", "data_hash": "d", "code_hash": "c"}


def read(folder: Path) -> Any:
    return json.loads((folder / "provenance.json").read_text())


def test_the_first_start_says_where_everything_comes_from(
    config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "abc"
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "freqexp.run", "output_dir=my runs"])
    provenance.start(config(seed=7), folder, HASHES, "cpu here")
    found = read(folder)
    assert set(found) == {
        "run_id",
        "weights_hash",
        "data_hash",
        "code_hash",
        "seed",
        "command",
        "samples",
        "host_kind",
        "commit",
        "dirty",
        "versions",
        "started",
        "finished",
        "resumed",
    }
    assert (found["run_id"], found["seed"], found["weights_hash"]) == ("abc", 7, "w")
    assert found["host_kind"] == "cpu here"
    assert found["versions"]["python"] == sys.version.split()[0]
    assert "numpy" in found["versions"]
    drawing = {"raqm": "raqm", "harfbuzz": "harfbuzz", "fribidi": "fribidi"}
    drawing["freetype"] = "freetype2"
    for name, feature in drawing.items():
        assert found["versions"].get(name) == features.version(feature)
    assert found["command"] == "python -m freqexp.run 'output_dir=my runs'"
    assert (found["finished"], found["resumed"]) == (None, [])
    assert from_yaml(folder / "config.yaml") == config(seed=7)


def test_a_resumed_run_keeps_its_first_start(
    config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = iter(["first", "end", "second", "third", "last"])
    monkeypatch.setattr(provenance, "now", lambda: next(moments))
    provenance.start(config(), tmp_path, HASHES, "cpu here")
    provenance.finish(tmp_path)
    assert read(tmp_path)["finished"] == "end"
    provenance.start(config(), tmp_path, HASHES, "cpu here")
    assert read(tmp_path)["finished"] is None
    monkeypatch.setattr(provenance, "command", lambda: "another")
    provenance.start(config(), tmp_path, HASHES, "cpu here")
    provenance.finish(tmp_path)
    found = read(tmp_path)
    assert found["started"] == "first"
    assert found["resumed"] == [{"at": "second"}, {"at": "third", "command": "another"}]
    assert found["finished"] == "last"


def test_faults_of_the_data_stand_with_the_start_that_counted_them(
    config: Any, tmp_path: Path
) -> None:
    few, many = {"samples": 64, "faulty": 6}, {"samples": 200, "faulty": 20}
    provenance.start(config(), tmp_path, HASHES, "cpu here", few)
    provenance.start(config(), tmp_path, HASHES, "cpu here", few)
    provenance.start(config(), tmp_path, HASHES, "cpu here", many)
    found = read(tmp_path)
    assert found["data_faults"] == few
    assert [start.get("data_faults") for start in found["resumed"]] == [None, many]


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
    return subprocess.run(
        command, cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


def test_commit_and_dirty_are_of_the_package_s_own_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "freqexp"
    package.mkdir()
    module = package / "__init__.py"
    module.write_text("one")
    monkeypatch.setattr(provenance, "package_dir", lambda: package)
    assert provenance.code_state() == (None, None)  # no repository
    git(tmp_path, "init", "-q")
    assert provenance.code_state() == (None, None)  # not this repository's file
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "one")
    head = git(tmp_path, "rev-parse", "HEAD")
    assert provenance.code_state() == (head, False)
    (tmp_path / "notes.txt").write_text("beside the package")
    assert provenance.code_state() == (head, False)
    (package / "new.py").write_text("untracked code")
    assert provenance.code_state() == (head, True)
    (package / "new.py").unlink()
    module.write_text("two")
    assert provenance.code_state() == (head, True)


def test_a_machine_without_git_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert provenance.code_state() == (None, None)


def test_conditions_are_of_the_last_answers_and_all_thread_counts_stay(
    config: Any, tmp_path: Path
) -> None:
    provenance.start(config(), tmp_path, HASHES, "cpu here")
    provenance.note_conditions(tmp_path, {"cpus": 8, "threads": 4, "load": 0.5}, {"a": 1})
    provenance.finish(tmp_path, 2.5)
    found = read(tmp_path)
    assert (found["cpus"], found["threads"], found["generation"]) == (8, [4], {"a": 1})
    assert found["load"] == {"started": 0.5, "finished": 2.5}
    provenance.start(config(), tmp_path, HASHES, "cpu here")
    provenance.note_conditions(tmp_path, {"cpus": 8, "threads": 2, "load": None}, {})
    provenance.finish(tmp_path)
    found = read(tmp_path)
    assert found["threads"] == [2, 4]
    assert found["load"] == {"started": None, "finished": None}
