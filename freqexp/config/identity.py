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

from freqexp.code import files_digest
from freqexp.config.budget import acting_budget
from freqexp.config.run import RunConfig
from freqexp.errors import UserError
from freqexp.outside.offered import READER
from freqexp.outside.source import Source, source_of
from freqexp.paths import package_dir
from freqexp.readers.adapter_file import content_hash
from freqexp.schemas.method import DRAWS
from freqexp.schemas.outside_model import OutsideModelConfig
from freqexp.schemas.served import NOT_SCORED
from freqexp.tokens.trained.weights import path_of

EXECUTION = (
    "cluster",
    "tracking",
    "wandb_project",
    "wandb_entity",
    "sweep_name",
    "tags",
    "notes",
)
"""Top-level keys that say how and where a run is computed and shown; none can change a score."""

NOT_IN_IDENTITY = frozenset({*EXECUTION, "output_dir", "encodings_cache_gb", "baseline", "samples"})
"""Those, and the keys that say where its files are and how far it is computed."""

# Rooms of code that can change what a model sees, what it answers or what is measured of it; no
# other code can.
ROOMS = (
    "nouns",
    "coding",
    "pages",
    "benchmarks",
    "codecs",
    "tokens",
    "kv",
    "schemas",
    "readers",
    "answering",
)


def run_id(cfg: RunConfig) -> str:
    """16 hex digits. Raises UserError when weights or data can't be read."""
    from freqexp.benchmarks.samples import samples_hash
    from freqexp.readers.bundled import weights_hash

    parts: dict[str, Any] = {
        "config": identity(cfg),
        "code": code_hash(),
        "weights": weights_hash(cfg.model),
        "data": samples_hash(cfg.needles),
    }
    others = outside_code(cfg)
    if others:
        parts["outside"] = others
    return hashlib.sha256(_canonical(parts).encode()).hexdigest()[:16]


def outside_sources(cfg: RunConfig) -> dict[str, Source]:
    """Where the methods of a run that are not this package's are written, by name; its reader by
    the key that names it.

    Raises UserError for one without a file.
    """
    found = {}
    for part in cfg.compressor.parts(cfg.keep_ratio):
        source = source_of(type(part.config))
        if source is not None:
            found[part.config.name] = source
    if isinstance(cfg.model, OutsideModelConfig):
        from freqexp.readers.outside import source_code

        found[READER.field] = source_code(cfg.model.source)
    return found


def all_outside(cfg: RunConfig) -> list[Source]:
    """Everything from outside that a run needs: sources of methods, reader and benchmark."""
    found = list(outside_sources(cfg).values())
    if cfg.needles.source is not None:
        from freqexp.benchmarks.outside import source_code

        found.append(source_code(cfg.needles.source))
    return found


def outside_code(cfg: RunConfig) -> dict[str, str]:
    """Digests of their code. Raises UserError for what can't be read."""
    return {name: source.digest for name, source in outside_sources(cfg).items()}


def identity(cfg: RunConfig) -> dict[str, Any]:
    """The part of a configuration that can change a score.

    Paths are left out because the content they name is hashed; so are the profile and
    each way to say how much is kept where the compressor does not look at them.
    """
    kept = {key: value for key, value in asdict(cfg).items() if key not in NOT_IN_IDENTITY}
    for name, value in asdict(acting_budget(cfg)).items():
        if value is None:
            del kept[name]
    if not cfg.compressor.uses_profile:
        del kept["profile"]
    compressor = kept["compressor"] = cfg.compressor.identity(kept["compressor"])
    for section in (compressor, compressor.get("token"), compressor.get("kv")):
        if section is not None:
            section.pop(DRAWS, None)
            if section.get("basis_path") is not None:
                section["basis_path"] = _file_hash(section["basis_path"])
            if section.get("weights") is not None:
                section["weights"] = _file_hash(str(path_of(section["weights"])))
    for unnamed in (kept["model"], kept["needles"]):
        del unnamed["path"]
    for name in ("revision", *NOT_SCORED):
        kept["model"].pop(name, None)
    adapter = kept["model"].pop("adapter")
    if adapter is not None:
        kept["model"]["adapter"] = content_hash(adapter)
    render = kept["model"]["render"]
    if render.get("font_path") is not None:
        render["font_path"] = _file_hash(render["font_path"])
    render["fallback"] = [_file_hash(font) for font in render["fallback"]]
    return kept


def _file_hash(path: str) -> str:
    try:
        return hashlib.sha256(Path(path).expanduser().read_bytes()).hexdigest()
    except OSError as error:
        raise UserError(f"{path}: can't be read ({error.strerror})") from error


def code_hash(package: Path | None = None) -> str:
    """sha256 over the code of a package's rooms that can change a score, without comments,
    docstrings and type hints.

    package: a folder with a copy of this package; None: the one that runs.
    """
    return _code_hash(package_dir() if package is None else package)


# Once a process: what was imported at its start is what runs, whatever the files say later.
@functools.lru_cache(maxsize=4)
def _code_hash(package: Path) -> str:
    files = [file for room in ROOMS for file in (package / room).rglob("*.py")]
    return files_digest(package, files)


def _canonical(value: object) -> str:
    """JSON with sorted keys; an enum as its name."""
    return json.dumps(value, sort_keys=True, default=_enum_name)


def _enum_name(value: object) -> str:
    if isinstance(value, Enum):
        return value.name
    raise TypeError(f"{type(value).__name__} has no place in a run's identity")
