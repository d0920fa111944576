"""Where YAML files and launchers are: in a checkout, in an installed package."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def package_dir() -> Path:
    """The folder of this package."""
    return _PACKAGE


def conf_dir() -> Path:
    """The folder of YAML files: inside an installed package, beside it in a checkout."""
    inside = _PACKAGE / "conf"
    return inside if inside.is_dir() else _PACKAGE.parent / "conf"


def launchers_dir() -> Path:
    """The folder that holds `hydra_plugins` in a checkout (a wheel has it beside the package)."""
    return _PACKAGE.parent / "launchers"


BUNDLED = {"bundled": "adapted", "bundled_half": "adapted_half", "bundled_text": "adapted_text"}
"""Folders of this package's own adapters, by the names that stand for them."""


def adapted_dir(name: str) -> Path:
    """The folder of what training made: one of this package's own by its name, or any other."""
    if name in BUNDLED:
        return _PACKAGE / "models" / BUNDLED[name]
    return Path(name).expanduser()


OUTPUT_DIR = ("--output-dir", "--outputs")
"""How the folder of results is spelled for commands that are no Hydra applications."""


def with_output_dir(arguments: Sequence[str]) -> list[str]:
    """Arguments where `output_dir=FOLDER`, as freqexp.run takes it, is understood, too."""
    key = "output_dir="
    return [f"--output-dir={a.removeprefix(key)}" if a.startswith(key) else a for a in arguments]
