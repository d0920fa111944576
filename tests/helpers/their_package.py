"""Installs packages for tests as pip does, as far as Python sees it, and without pip: the package
and its metadata in a folder that modules are imported from.
"""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Mapping
from pathlib import Path

PROJECT = Path(__file__).parent / "their-methods"
"""A project that pip could install: a codec, a token compressor and a method on the cache."""


def install(site: Path, project: Path = PROJECT) -> Path:
    """The package of a project with a pyproject.toml, in `site`."""
    meta = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    package = meta["name"].replace("-", "_")
    module = project / f"{package}.py"
    if module.is_file():
        site.mkdir(exist_ok=True, parents=True)
        shutil.copy(module, site)
    else:
        shutil.copytree(project / package, site / package, ignore=shutil.ignore_patterns("*.pyc"))
    write_metadata(site, meta["name"], meta["version"], meta["entry-points"])
    return site / package


def install_text(site: Path, package: str, text: str, points: Mapping[str, str]) -> Path:
    """A package of one module with this text. points: group -> "name = module:Class"."""
    site.mkdir(exist_ok=True, parents=True)
    file = site / f"{package}.py"
    file.write_text(text)
    split = {group: dict([point.split(" = ")]) for group, point in points.items()}
    write_metadata(site, package, "0.1", split)
    return file


def write_metadata(
    site: Path, name: str, version: str, points: Mapping[str, Mapping[str, str]]
) -> None:
    """What an installer writes, of it what `importlib.metadata` needs."""
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = []
    for group, members in points.items():
        lines += [f"[{group}]", *(f"{key} = {value}" for key, value in members.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
