"""A method in a file of the user's own folder: `DIR/compressor/NAME.py`."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

FOLDER = "compressor"
MODULES = "freqexp_own"
"""How the names of such modules begin."""


@dataclass(frozen=True)
class OwnFile:
    """A method by a file's name. file: absolute."""

    name: str
    file: Path

    @property
    def owner(self) -> str:
        """Whose it is, in words."""
        return f"file {self.file}"

    def load(self) -> ModuleType:
        """The module, once for each content. Raises whatever importing it raises."""
        text = self.file.read_bytes()
        mark = hashlib.sha256(bytes(self.file) + b"\0" + text).hexdigest()[:12]
        name = f"{MODULES}_{self.name}_{mark}"
        if name in sys.modules:
            return sys.modules[name]
        spec = importlib.util.spec_from_file_location(name, self.file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
        return module


def own_files(folders: Iterable[Path | str], name: str = "*") -> list[OwnFile]:
    """The files of this name, or all, in these folders; none whose name begins with `_`."""
    found: dict[Path, OwnFile] = {}
    for folder in folders:
        for file in sorted((Path(folder) / FOLDER).glob(f"{name}.py")):
            if not file.name.startswith("_"):
                found.setdefault(file.resolve(), OwnFile(file.stem, file.resolve()))
    return list(found.values())
