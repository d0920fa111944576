"""A copy of the code that a sweep runs with, so that later edits change nothing."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import freqexp
from freqexp.errors import UserError
from freqexp.outside.own import FOLDER
from freqexp.outside.source import Source
from freqexp.paths import conf_dir

OUTSIDE = "outside"
"""The folder of a snapshot from which packages with methods are imported."""
LAUNCHERS = Path(__file__).resolve().parent.parent
IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")


def snapshot(sweep_folder: Path, outside: Iterable[Source] = ()) -> Path:
    """The folder `code-<hash>` in `sweep_folder` with package, YAML files and launchers, and with
    methods from outside.

    Laid out like a checkout; made once for each content. A user's own file lies beside the YAML
    files, where a node finds it as the user's folder is not searched there.
    Raises UserError when it can't be written.
    """
    package = Path(freqexp.__file__).resolve().parent
    parts = {"freqexp": package, "launchers/freqexp_cluster": LAUNCHERS / "freqexp_cluster"}
    parts["launchers/hydra_plugins/freqexp_local"] = LAUNCHERS / "hydra_plugins" / "freqexp_local"
    if not conf_dir().is_relative_to(package):
        parts["conf"] = conf_dir()
    metadata: dict[str, str] = {}
    for source in outside:
        if source.is_own:
            inside = "conf" if "conf" in parts else "freqexp/conf"
            parts[f"{inside}/{FOLDER}/{source.top.name}"] = source.top
            continue
        parts[f"{OUTSIDE}/{source.place}"] = source.top
        metadata |= {f"{OUTSIDE}/{name}": text for name, text in source.metadata().items()}
    target = sweep_folder / f"code-{_hash(parts, metadata)}"
    if target.is_dir():
        return target
    try:
        sweep_folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=sweep_folder, prefix=".code-") as made:
            for name, part in parts.items():
                _copy(part, Path(made) / "code" / name)
            for name, text in metadata.items():
                file = Path(made) / "code" / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8")
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
    folders = [code, code / "launchers"]
    folders += [code / OUTSIDE] if (code / OUTSIDE).is_dir() else []
    return os.pathsep.join(map(str, folders))


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=IGNORED)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _hash(parts: Mapping[str, Path], texts: Mapping[str, str]) -> str:
    """12 hex digits of names and contents."""
    digest = hashlib.sha256()
    for name, text in sorted(texts.items()):
        digest.update(f"{name}\0{len(text)}\0{text}".encode())
    for name, source in sorted(parts.items()):
        if source.is_file():
            content = source.read_bytes()
            digest.update(f"{name}\0{len(content)}\0".encode())
            digest.update(content)
        for folder, folders, files in os.walk(source):
            left_out = IGNORED(folder, [*folders, *files])
            folders[:] = sorted(set(folders) - left_out)
            for file in sorted(set(files) - left_out):
                path = Path(folder) / file
                content = path.read_bytes()
                digest.update(f"{name}/{path.relative_to(source)}\0{len(content)}\0".encode())
                digest.update(content)
    return digest.hexdigest()[:12]
