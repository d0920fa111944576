"""What installed packages offer, by the groups of their entry points; nothing of it is loaded."""

from __future__ import annotations

import functools
import importlib.metadata
import sys
from collections.abc import Sequence
from dataclasses import dataclass

CODECS, TOKENS, KV = "freqexp.codecs", "freqexp.tokens", "freqexp.kv"
BENCHMARKS, READERS = "freqexp.benchmarks", "freqexp.readers"
METHODS = (CODECS, TOKENS, KV)
"""Groups whose entries are options of `compressor`."""
GROUPS = (*METHODS, BENCHMARKS, READERS)


@dataclass(frozen=True)
class Entry:
    """A name in a group, and the package that offers it. value: as in "package.module:Class"."""

    name: str
    group: str
    value: str
    package: str
    version: str

    @property
    def owner(self) -> str:
        """Whose it is, in words."""
        return f"package {self.package} {self.version}"

    def load(self) -> object:
        """What it leads to. Raises whatever importing it raises."""
        return importlib.metadata.EntryPoint(self.name, self.value, self.group).load()


def entries(*groups: str) -> list[Entry]:
    """All entries of these groups."""
    return [entry for entry in _entries(tuple(sys.path)) if entry.group in groups]


def offering(module: str) -> Entry | None:
    """The first entry that leads into the package (top-level) of a module; None: there is none."""
    top = module.partition(".")[0]
    for entry in _entries(tuple(sys.path)):
        if entry.value.partition(":")[0].partition(".")[0] == top:
            return entry
    return None


@functools.lru_cache(maxsize=4)
def _entries(path: Sequence[str]) -> tuple[Entry, ...]:
    """path: that of this process; packages are looked for again when it changes."""
    found = []
    for group in GROUPS:
        for point in importlib.metadata.entry_points(group=group):
            dist = point.dist
            package, version = ("?", "?") if dist is None else (dist.name, dist.version)
            found.append(Entry(point.name, group, point.value, package, version))
    return tuple(sorted(found, key=lambda entry: (entry.group, entry.package, entry.name)))
