"""A copy of the code that a sweep runs with, so that later edits change nothing."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

import freqexp
from freqexp.errors import UserError
from freqexp.paths import conf_dir

LAUNCHERS = Path(__file__).resolve().parent.parent
IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")


def snapshot(sweep_folder: Path) -> Path:
    """The folder `code-<hash>` in `sweep_folder` with package, YAML files and launchers.

    Laid out like a checkout; made once for each content. Raises UserError when it can't be written.
    """
    package = Path(freqexp.__file__).resolve().parent
    parts = {"freqexp": package, "launchers/freqexp_cluster": LAUNCHERS / "freqexp_cluster"}
    parts["launchers/hydra_plugins/freqexp_local"] = LAUNCHERS / "hydra_plugins" / "freqexp_local"
    if not conf_dir().is_relative_to(package):
        parts["conf"] = conf_dir()
    target = sweep_folder / f"code-{_hash(parts)}"
    if target.is_dir():
        return target
    try:
        sweep_folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=sweep_folder, prefix=".code-") as made:
            for name, source in parts.items():
                shutil.copytree(source, Path(made) / "code" / name, ignore=IGNORED)
            # Renamed as a whole: a folder of that name is complete.
            os.rename(Path(made) / "code", target)
    except OSError as error:
        if target.is_dir():  # another submission was faster
            return target
        raise UserError(f"cannot copy the code to {target}: {_reason(error)}") from None
    return target


def _reason(error: OSError) -> str:
    """In a few words; copytree lists every file that it could not copy."""
    if isinstance(error, shutil.Error) and error.args and isinstance(error.args[0], list):
        first = str(error.args[0][0][-1]).splitlines()[0][:200]
        return f"{len(error.args[0])} files failed, the first: {first}"
    return error.strerror or type(error).__name__


def search_path(code: Path) -> str:
    """PYTHONPATH with which a process imports the snapshot."""
    return os.pathsep.join([str(code), str(code / "launchers")])


def _hash(parts: dict[str, Path]) -> str:
    """12 hex digits of names and contents."""
    digest = hashlib.sha256()
    for name, source in sorted(parts.items()):
        for folder, folders, files in os.walk(source):
            left_out = IGNORED(folder, [*folders, *files])
            folders[:] = sorted(set(folders) - left_out)
            for file in sorted(set(files) - left_out):
                path = Path(folder) / file
                content = path.read_bytes()
                digest.update(f"{name}/{path.relative_to(source)}\0{len(content)}\0".encode())
                digest.update(content)
    return digest.hexdigest()[:12]
