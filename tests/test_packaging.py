from __future__ import annotations

import re
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


def test_pins_are_plain_sorted_versions(pinned: dict[str, str]) -> None:
    assert list(pinned) == sorted(pinned)
    assert all(re.fullmatch(r"[0-9][0-9a-z.]*", number) for number in pinned.values())


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
