"""Where a run's numbers come from: code, weights, data, machine and command."""

from __future__ import annotations

import importlib.metadata
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freqexp.files import read_json, write_json, write_text
from freqexp.paths import package_dir

if TYPE_CHECKING:
    from freqexp.config.run import RunConfig

PROVENANCE = "provenance.json"
CONFIG = "config.yaml"
SAMPLES = re.compile(r"^samples: (\d+)$", re.MULTILINE)

PACKAGES = (
    "freqexp",
    "accelerate",
    "bpe-openai",
    "brotli",
    "chitchat-dataset",
    "constriction",
    "hydra-core",
    "imagecodecs",
    "matplotlib",
    "numpy",
    "omegaconf",
    "onnxruntime",
    "pandas",
    "peft",
    "pillow",
    "pyarrow",
    "pyppmd",
    "rapidocr",
    "safetensors",
    "scipy",
    "submitit",
    "tokenizers",
    "torch",
    "transformers",
    "wandb",
)


def versions() -> dict[str, str]:
    """Versions of Python and of the installed packages that take part."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    # Compiled into Pillow, or found by it: what draws the letters.
    from PIL import features

    drawing = {
        "freetype": "freetype2",
        "raqm": "raqm",
        "harfbuzz": "harfbuzz",
        "fribidi": "fribidi",
    }
    there = {name: features.version(feature) for name, feature in drawing.items()}
    return found | {name: version for name, version in there.items() if version is not None}


def _git(*arguments: str) -> str | None:
    """What git answers in the package's folder; None without git, a repository or an answer."""
    try:
        answer = subprocess.run(
            ["git", "--no-optional-locks", *arguments],
            cwd=package_dir(),
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


def code_state() -> tuple[str | None, bool | None]:
    """(commit, dirty) of the checkout this package runs from; (None, None) when installed.

    dirty: a tracked file was changed, or the package folder holds an untracked one.
    """
    # An installed package can lie inside some other project's repository, which is not its own.
    if _git("ls-files", "--error-unmatch", "__init__.py") is None:
        return None, None
    changed = _git("status", "--porcelain", "--untracked-files=no")
    untracked = _git("status", "--porcelain", "--untracked-files=normal", "--", ".")
    dirty = None if changed is None or untracked is None else bool(changed or untracked)
    return _git("rev-parse", "HEAD"), dirty


def now() -> str:
    """The time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def command() -> str:
    """The command line as it was typed, quoted for a shell."""
    return shlex.join(sys.orig_argv)


def start(
    cfg: RunConfig,
    folder: Path,
    hashes: Mapping[str, Any],
    host: str,
    data_faults: Mapping[str, int] | None = None,
) -> None:
    """Write config.yaml and provenance.json, or note in the latter that the run goes on, and in the
    former if for more samples.

    hashes: of weights, an adapter, data and code, by the names they have in the file, and whose the
        methods from outside are. host: the
    kind of machine. data_faults: how many samples there are and how many have which fault; None:
    not counted.
    Raises UserError when they cannot be written.
    """
    from freqexp.config.saved import to_yaml

    if _samples_written(folder / CONFIG) < cfg.samples:
        write_text(folder / CONFIG, to_yaml(cfg))
    commit, dirty = code_state()
    this_start = {
        "command": command(),
        "samples": cfg.samples,
        "host_kind": host,
        "commit": commit,
        "dirty": dirty,
        "versions": versions(),
    }
    if data_faults is not None:
        this_start["data_faults"] = dict(data_faults)
    earlier = read_json(folder / PROVENANCE)
    if earlier is None:
        write_json(
            folder / PROVENANCE,
            {
                "run_id": folder.name,
                **hashes,
                "seed": cfg.seed,
                **this_start,
                "started": now(),
                "finished": None,
                "resumed": [],
            },
        )
        return
    same = {name for name, value in this_start.items() if value == earlier.get(name)}
    changed = {name: value for name, value in this_start.items() if name not in same}
    resumed = [*earlier.get("resumed", []), {"at": now(), **changed}]
    write_json(folder / PROVENANCE, {**earlier, "finished": None, "resumed": resumed})


def _samples_written(file: Path) -> int:
    """How many samples a saved configuration asks for; 0 when there is none that says it."""
    try:
        found = SAMPLES.search(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 0
    return int(found[1]) if found else 0


def note_conditions(
    folder: Path, machine: Mapping[str, Any], generation: Mapping[str, Any]
) -> None:
    """Note under which conditions samples are about to be answered, of the last start that answered
    some; `threads` is every number of them that took part.

    machine: `cpus`, `threads` and `load`. generation: the settings the model generates by.
    Raises UserError when they cannot be written.
    """
    earlier = read_json(folder / PROVENANCE)
    if earlier is None:
        return
    took_part = {*earlier.get("threads", []), machine["threads"]} - {None}
    found = {
        "cpus": machine["cpus"],
        "threads": sorted(took_part),
        "load": {"started": machine["load"], "finished": None},
        "generation": dict(generation),
    }
    write_json(folder / PROVENANCE, {**earlier, **found})


def finish(folder: Path, load: float | None = None) -> None:
    """Note in provenance.json when the run was done, and the machine's load then.

    Raises UserError when it cannot be written.
    """
    earlier = read_json(folder / PROVENANCE)
    if earlier is not None:
        if isinstance(earlier.get("load"), dict) and load is not None:
            earlier["load"] = {**earlier["load"], "finished": load}
        write_json(folder / PROVENANCE, {**earlier, "finished": now()})
