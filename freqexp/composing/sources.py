"""Where Hydra finds methods that are not this package's: beside the YAML files of its search path.

An installed package's method is an option as soon as the package is installed, and one of the
user's own as soon as its folder is in the search path (`--config-dir`, `hydra.searchpath`):
`DIR/compressor/NAME.py`. Nothing is imported before an option is chosen; its schema is then both
`compressor/NAME` and `schema/compressor/NAME`, which YAML files name in their defaults lists.
"""

from __future__ import annotations

from pathlib import Path

from hydra._internal.core_plugins import file_config_source as hydras
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigResult

from freqexp.config.saved import compressor_schema
from freqexp.outside.entries import METHODS, entries
from freqexp.outside.own import FOLDER, own_files
from freqexp.paths import conf_dir
from freqexp.schemas.compressor import chosen, offers

_OPTION, _SCHEMA = f"{FOLDER}/", f"schema/{FOLDER}/"
_searched: list[str] = []
"""Folders of the search path that Hydra reads at the moment, this package's own first."""


def install() -> None:
    """Let Hydra read folders by `FileConfigSource` below."""
    Plugins.instance()  # registers Hydra's own, once
    SourcesRegistry.instance().types["file"] = FileConfigSource


class FileConfigSource(hydras.FileConfigSource):
    """A folder of YAML files, and of methods. Its name is that of the class it stands for.

    The folder of this package's own YAML files, which comes first, answers for schemas from
    everywhere, so that a name with two owners is noticed, and for options of installed packages.
    """

    def __init__(self, provider: str, path: str) -> None:
        super().__init__(provider, path)
        self._first = Path(self.path) == conf_dir()
        if self._first:
            _searched.clear()
        _searched.append(self.path)

    def is_config(self, config_path: str) -> bool:
        """Whether there is a YAML file, or else a method."""
        return super().is_config(config_path) or self._method(config_path) is not None

    def load_config(self, config_path: str) -> ConfigResult:
        """The YAML file, or the method's schema. Raises ConfigError, see `chosen`."""
        name = None if super().is_config(config_path) else self._method(config_path)
        if name is None:
            return super().load_config(config_path)
        return ConfigResult(
            config=compressor_schema(chosen(name, _searched)),
            path=f"{self.scheme()}://{self.path}",
            provider=self.provider,
            header={"package": None},
        )

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """Names in a group; of `compressor` those of methods, too."""
        found = super().list(config_path, results_filter)
        if config_path.strip("/") == FOLDER and results_filter in (None, ObjectType.CONFIG):
            found += [own.name for own in own_files([self.path])]
            found += [entry.name for entry in entries(*METHODS)] if self._first else []
        return sorted(set(found))

    def _method(self, config_path: str) -> str | None:
        """The name of the method that this source is to answer for; None: none."""
        path = config_path.removesuffix(".yaml").strip("/")
        for start in (_OPTION, _SCHEMA):
            name = path.removeprefix(start)
            if name != path and name and "/" not in name and "*" not in name:
                return name if self._answers(start, name) else None
        return None

    def _answers(self, start: str, name: str) -> bool:
        if start == _SCHEMA:
            return self._first and bool(offers(name, _searched))
        if own_files([self.path], name):
            return True
        if not self._first or any(_has_yaml(folder, name) for folder in _searched):
            return False
        return bool(offers(name))


def _has_yaml(folder: str, name: str) -> bool:
    return (Path(folder) / FOLDER / f"{name}.yaml").is_file()
