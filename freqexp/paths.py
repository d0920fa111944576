"""Where YAML files and launchers are: in a checkout, in an installed package."""

from __future__ import annotations

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
