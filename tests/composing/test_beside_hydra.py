"""`freqexp.compose` in a program that uses Hydra itself."""

from __future__ import annotations

import logging
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hydra
import pytest
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig

from freqexp.composing.compose import collect, compose
from freqexp.composing.hydra_state import parsed_version
from freqexp.errors import ConfigError

# As a program for both versions has it.
BASE: dict[str, Any] = {} if parsed_version() >= (1, 4) else {"version_base": "1.3"}


@dataclass
class Theirs:
    a: int = 3


@pytest.fixture
def theirs(tmp_path: Path) -> Any:
    """A program's own configuration, whose schema has the name of one of ours."""
    (tmp_path / "app.yaml").write_text("x: 1\nhydra: {run: {dir: .}, output_subdir: null}\n")
    repo = ConfigStore.instance().repo
    repo["schema"] = {}
    ConfigStore.instance().store(group="schema", name="run", node=Theirs)
    yield tmp_path
    del repo["schema"]


def test_between_initialize_and_compose(theirs: Path) -> None:
    with hydra.initialize_config_dir(str(theirs), **BASE):
        assert compose(["compressor=token"]).compressor.name == "token"
        assert len(collect(["-m", "keep_ratio=0.3,0.5"])) == 2
        with pytest.raises(ConfigError, match="no such key"):
            compose(["foo=1"])
        assert hydra.compose("app", ["x=2", "+schema=run"]) == {"x": 2, "schema": {"a": 3}}
    assert not GlobalHydra.instance().is_initialized()


def test_inside_main(theirs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.chdir(theirs)
    monkeypatch.setattr(sys, "argv", ["app", "x=9", "hydra/job_logging=none", "hydra.job.name=app"])

    @hydra.main(config_path=str(theirs), config_name="app", **BASE)
    def main(config: Any) -> None:
        seen.append((config.x, compose(["seed=4"]).seed, len(collect(["-m", "seed=1,2"]))))
        seen.append((HydraConfig.get().job.name, list(HydraConfig.get().overrides.task)))

    main()
    assert seen == [(9, 4, 2), ("app", ["x=9"])]


def test_from_threads() -> None:
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda seed=seed: found.append(compose([f"seed={seed}"]).seed))
        for seed in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [0, 1, 2, 3]


def test_nothing_of_ours_stays_behind() -> None:
    before = set(ConfigStore.instance().repo)
    level, handlers = logging.getLogger().level, list(logging.getLogger().handlers)
    collect(["-m", "seed=1,2"])
    assert set(ConfigStore.instance().repo) == before
    assert not GlobalHydra.instance().is_initialized()
    assert (logging.getLogger().level, logging.getLogger().handlers) == (level, handlers)


@pytest.mark.parametrize(
    ("text", "version"), [("1.3.8", (1, 3)), ("1.4.0rc3", (1, 4)), ("1.4.0.dev1", (1, 4))]
)
def test_versions_are_read(text: str, version: tuple[int, int]) -> None:
    assert parsed_version(text) == version
