from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import freqexp

ROOT = Path(freqexp.__file__).parents[1]


@pytest.fixture(scope="module")
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def pinned() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


def test_every_requirement_is_pinned_within_its_range(project: dict, pinned: dict) -> None:
    lists = [project["project"]["dependencies"]]
    lists += project["project"]["optional-dependencies"].values()
    for text in (text for requirements in lists for text in requirements):
        requirement = Requirement(text)
        if requirement.name == project["project"]["name"]:
            assert requirement.extras <= set(project["project"]["optional-dependencies"])
            continue
        assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), text


# Distributions that a command asks for by itself and names when they are missing.
OPTIONAL = ("ocr", "convbench", "pandas", "workspace")


def imported(folder: Path) -> dict[str, str]:
    """Top-level modules that files below a folder import anywhere, each with one such file."""
    found: dict[str, str] = {}
    for file in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names.append(node.module)
            found |= {name.partition(".")[0]: file.relative_to(ROOT).as_posix() for name in names}
    return found


def test_what_is_imported_is_required(project: dict) -> None:
    """By this project itself: what another one happens to bring along may leave with it."""
    extras = project["project"]["optional-dependencies"]
    lists = [project["project"]["dependencies"], *(extras[name] for name in OPTIONAL)]
    required = {canonicalize_name(Requirement(text).name) for texts in lists for text in texts}
    ours = {"freqexp", "freqexp_cluster", "hydra_plugins", *sys.stdlib_module_names}
    owners = importlib.metadata.packages_distributions()
    modules = imported(ROOT / "freqexp") | imported(ROOT / "launchers")
    missing = {
        name: file
        for name, file in modules.items()
        if name not in ours
        and not required & {canonicalize_name(owner) for owner in owners.get(name, [name])}
    }
    assert missing == {}


def test_pins_are_plain_sorted_versions(pinned: dict[str, str]) -> None:
    assert list(pinned) == sorted(pinned)
    assert all(re.fullmatch(r"[0-9][0-9a-z.]*", number) for number in pinned.values())


def installed_for(target: str, folder: Path) -> list[str]:
    """What `make` would hand to pip without an environment, last words of each line."""
    command = ["make", "--dry-run", target, f"VENV={folder / 'none'}"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [line.split()[-1] for line in shown.splitlines() if " -m pip install " in line]


@pytest.mark.parametrize("target", ["run", "test", "lint", "format"])
def test_a_run_needs_no_tools_of_the_tests(
    target: str, pinned: dict[str, str], tmp_path: Path
) -> None:
    torch, *ours = installed_for(target, tmp_path)
    assert torch == f"torch=={pinned['torch']}"
    assert ours == (["."] if target == "run" else [".", ".[dev]"])


def test_a_wheel_takes_what_the_command_needs(project: dict) -> None:
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["packages"] == ["freqexp"]
    assert wheel["force-include"] == {
        "conf": "freqexp/conf",
        "launchers/freqexp_cluster": "freqexp_cluster",
        "launchers/hydra_plugins": "hydra_plugins",
    }
    for folder in wheel["force-include"]:
        assert (ROOT / folder).is_dir()
    assert not (ROOT / "launchers" / "hydra_plugins" / "__init__.py").exists()
