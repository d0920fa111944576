"""Hydra on this project's YAML, beside whatever else of Hydra the process runs.

Hydra keeps what it composes with in singletons of the process. Here they are ours while we compose
and the caller's again afterwards, so `freqexp.compose` works inside `@hydra.main`, between
`hydra.initialize` and `hydra.compose`, and from threads, which wait for each other.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
from hydra import version
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.core.singleton import Singleton
from hydra.core.utils import JobRuntime

from freqexp.composing.local import SETTINGS, local_folder, local_settings
from freqexp.composing.store import register
from freqexp.paths import conf_dir, launchers_dir

JOB_NAME = "freqexp"
BASE = "1.3"
"""Behaviour asked of a Hydra that can behave like several of its versions; 1.4 can't."""

HYDRAS = ("hydra", "_dummy_empty_config_.yaml")
"""What Hydra itself keeps in a ConfigStore."""

_STATE = (GlobalHydra, HydraConfig, JobRuntime, version.VersionBase, ConfigStore)
_LOCK = threading.RLock()


def parsed_version(text: str = hydra.__version__) -> tuple[int, int]:
    """Major and minor of a version of Hydra."""
    major, minor, *_ = text.split(".")
    return int(major), int(minor)


@contextmanager
def hydra_ready(folders: Sequence[str] = ()) -> Iterator[Hydra]:
    """Hydra with this project's schemas and YAML, the local settings before them and `folders`
    behind them. What was initialised before comes back after.

    folders: existing ones, absolute. Raises ConfigError for local settings that can't be used.
    """
    local = local_folder()
    with _LOCK:
        _find_plugins()
        kept = {kind: Singleton._instances.pop(kind, None) for kind in _STATE}
        Singleton._instances[ConfigStore] = _store(kept[ConfigStore])
        try:
            if parsed_version() < (1, 4):
                version.setbase(BASE)
            register()
            _put_local_settings(local)
            yield _hydra(local, folders)
        finally:
            for kind, instance in kept.items():
                Singleton._instances.pop(kind, None)
                if instance is not None:
                    Singleton._instances[kind] = instance


def _find_plugins() -> None:
    """Let Hydra find, in a checkout, this project's launchers before any installed ones."""
    folder = launchers_dir()
    if folder.is_dir() and str(folder) not in sys.path[:1]:
        sys.path.insert(0, str(folder))
    Plugins.instance()


@functools.cache
def _own_store() -> ConfigStore:
    """One for the life of the process: schemas are registered once."""
    store: ConfigStore = object.__new__(ConfigStore)
    store.repo = {}
    return store


def _store(theirs: Any) -> Any:
    """The ConfigStore with our schemas: Hydra's own entries are shared with that of the process,
    everything else is ours alone.
    """
    store = _own_store()
    for name, node in ({} if theirs is None else theirs.repo).items():
        if name in HYDRAS:
            store.repo[name] = node
    return store


def _put_local_settings(folder: Path | None) -> None:
    group, name = SETTINGS
    store = _own_store()
    store.repo.pop(group, None)
    settings = None if folder is None else local_settings(folder)
    if settings is not None:
        store.store(group=group, name=name, node=settings, package="_global_")


def _hydra(local: Path | None, folders: Sequence[str]) -> Hydra:
    search_path = create_config_search_path(str(conf_dir()))
    if local is not None:
        before_ours = SearchPathQuery(provider="main")
        search_path.prepend("local", f"file://{local}", before_ours)
    for folder in folders:
        search_path.prepend("command-line", f"file://{folder}", SearchPathQuery(provider="schema"))
    return Hydra.create_main_hydra2(JOB_NAME, search_path)
