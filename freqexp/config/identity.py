"""Which run a configuration is: a hash of everything that can change a score, and of nothing else.

Runs with the same id may share their records, wherever and in whichever sweep they were computed.
Library versions are not part of it; they stand in a run's provenance.
"""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import Any

from freqexp.config.run import RunConfig
from freqexp.errors import UserError

# Top-level keys that say where and how a run is computed and shown, not what is computed.
NOT_IN_IDENTITY = frozenset(
    {
        "cluster",
        "tracking",
        "wandb_project",
        "wandb_entity",
        "output_dir",
        "encodings_cache_gb",
        "sweep_name",
        "baseline",
    }
)

# Code that reads configurations, schedules runs or shows results, but never touches what a model
# sees or how an answer is graded. Everything else counts; a module that is in doubt does, too.
NOT_IN_CODE_HASH = frozenset(
    {
        "codec/__main__.py",
        "codec/files.py",
        "composing/compose.py",
        "composing/explain.py",
        "composing/help.py",
        "config/check.py",
        "config/cluster.py",
        "figures/__main__.py",
        "figures/recall.py",
        "figures/study.py",
        "memory/__main__.py",
        "reproduce/__main__.py",
        "results/provenance.py",
        "results/stats.py",
        "results/table.py",
        "run.py",
        "running/progress.py",
        "running/shares.py",
        "running/sweep.py",
        "status/__main__.py",
        "status/files.py",
        "status/live.py",
        "status/points.py",
        "status/text.py",
        "tracking/client.py",
        "tracking/mirror.py",
        "tracking/server.py",
        "workspace.py",
    }
)
NOT_IN_CODE_HASH_FOLDERS = frozenset({"comparing", "published", "report", "reproduce", "train"})


def run_id(cfg: RunConfig) -> str:
    """16 hex digits. Raises UserError when weights or data can't be read."""
    from freqexp.benchmarks.samples import samples_hash
    from freqexp.readers.bundled import weights_hash

    parts = {
        "config": identity(cfg),
        "code": code_hash(),
        "weights": weights_hash(cfg.model),
        "data": samples_hash(cfg.needles),
    }
    return hashlib.sha256(_canonical(parts).encode()).hexdigest()[:16]


def identity(cfg: RunConfig) -> dict[str, Any]:
    """The part of a configuration that can change a score.

    Paths are left out because the content they name is hashed; so are the keep ratio and the
    profile where the compressor does not look at them.
    """
    kept = {key: value for key, value in asdict(cfg).items() if key not in NOT_IN_IDENTITY}
    if not cfg.compressor.uses_keep_ratio:
        del kept["keep_ratio"]
    if not cfg.compressor.uses_profile:
        del kept["profile"]
    for unnamed in (kept["model"], kept["needles"]):
        del unnamed["path"]
    del kept["model"]["revision"]
    font = kept["model"]["render"].get("font_path")
    if font is not None:
        kept["model"]["render"]["font_path"] = _file_hash(font)
    return kept


def _file_hash(path: str) -> str:
    try:
        return hashlib.sha256(Path(path).expanduser().read_bytes()).hexdigest()
    except OSError as error:
        raise UserError(f"{path}: can't be read ({error.strerror})") from error


def code_hash(package: Path | None = None) -> str:
    """sha256 over a package's code that can change a score (relative names and contents).

    package: a folder with a copy of this package; None: the one that runs.
    """
    return _code_hash(Path(__file__).parents[1] if package is None else package)


@functools.lru_cache(maxsize=4)
def _code_hash(package: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(package.rglob("*.py"), key=lambda path: path.relative_to(package).parts):
        name = file.relative_to(package)
        if name.as_posix() in NOT_IN_CODE_HASH or name.parts[0] in NOT_IN_CODE_HASH_FOLDERS:
            continue
        content = file.read_bytes()
        digest.update(f"{name.as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def _canonical(value: object) -> str:
    """JSON with sorted keys; an enum as its name."""
    return json.dumps(value, sort_keys=True, default=_enum_name)


def _enum_name(value: object) -> str:
    if isinstance(value, Enum):
        return value.name
    raise TypeError(f"{type(value).__name__} has no place in a run's identity")
