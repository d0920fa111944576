"""The source of code from outside: what a run's id has of it, and what travels with a sweep."""

from __future__ import annotations

import functools
import hashlib
import sys
from dataclasses import dataclass
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from freqexp.code import code_digest
from freqexp.errors import UserError
from freqexp.outside.entries import GROUPS, entries, offering
from freqexp.outside.own import MODULES

OURS = __name__.partition(".")[0]


@dataclass(frozen=True)
class Source:
    """Where a class from outside is written.

    module: the topmost module that is no namespace. top: its folder, or its one file.
    """

    module: str
    top: Path

    @property
    def owner(self) -> str:
        """Whose it is, in words: an installed package, or a file."""
        entry = offering(self.module)
        return f"file {self.top}" if entry is None else entry.owner

    @property
    def is_own(self) -> bool:
        """Whether it is a file of the user's own folder, and no module that can be imported."""
        return self.module.startswith(MODULES)

    def metadata(self) -> dict[str, str]:
        """What an installer writes of the package that offers it, by the files' names, as far as
        entry points are found by it; nothing where no package does.
        """
        entry = offering(self.module)
        if entry is None:
            return {}
        folder = f"{entry.package.replace('-', '_')}-{entry.version}.dist-info"
        said = f"Metadata-Version: 2.1\nName: {entry.package}\nVersion: {entry.version}\n"
        lines = []
        for group in GROUPS:
            offered = [each for each in entries(group) if each.package == entry.package]
            if offered:
                lines += [f"[{group}]", *(f"{each.name} = {each.value}" for each in offered)]
        points = "\n".join(lines) + "\n"
        return {f"{folder}/METADATA": said, f"{folder}/entry_points.txt": points}

    @property
    def place(self) -> str:
        """Where it has to lie, below a folder that modules are imported from."""
        return "/".join([*self.module.split(".")[:-1], self.top.name])

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 (hex), see `source_digest`; what was imported first is what runs."""
        return _digest_once(self.module, self.top)

    def note(self) -> dict[str, str]:
        """What a run's provenance says of it."""
        entry = offering(self.module)
        where = {"file": str(self.top)}
        if entry is not None:
            where = {"package": entry.package, "version": entry.version}
        return {**where, "code": self.digest}


def source_of(item: type) -> Source | None:
    """The source of a class; None for this package's.

    Raises UserError for a class without a file, such as one that was typed into an interpreter.
    """
    if item.__module__.partition(".")[0] == OURS:
        return None
    found = module_source(item.__module__)
    if found is not None:
        return found
    raise UserError(
        f"{item.__qualname__}: got a class without a file, allowed: one in a module, because a "
        "run's id has its code"
    )


def module_source(module: str) -> Source | None:
    """The source of a module that was imported; None for one without a file, and this package's."""
    parts = module.split(".")
    for count in range(1, len(parts) + 1) if parts[0] != OURS else ():
        name = ".".join(parts[:count])
        file = getattr(sys.modules.get(name), "__file__", None)
        if file is not None:
            path = Path(file).resolve()
            return Source(name, path.parent if path.stem == "__init__" else path)
    return None


@functools.cache
def _digest_once(module: str, top: Path) -> str:
    return source_digest(top)


def source_digest(top: Path) -> str:
    """SHA-256 (hex) of the code of a package's folder, all of its modules, or of one file.

    Comments, docstrings, type hints and layout are no part of it; of compiled modules, and of what
    is no Python, it has the bytes. Raises UserError for what can't be read.
    """
    if top.is_dir():
        suffixes = (".py", *EXTENSION_SUFFIXES)
        files = sorted(file for file in top.rglob("*") if file.name.endswith(suffixes))
    else:
        files = [top]
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(top.parent).as_posix()} {_file_digest(file)}\n".encode())
    return digest.hexdigest()


def _file_digest(file: Path) -> str:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise UserError(f"{file}: can't be read ({error.strerror})") from error
    try:
        return code_digest(data.decode())
    except (SyntaxError, ValueError):
        return hashlib.sha256(data).hexdigest()
