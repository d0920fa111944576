"""Tests in several processes: what must stay together does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import spread
from spread import GROUPS

ROOT = Path(spread.__file__).parents[2]
TESTS = """
import os
import pytest

@pytest.mark.parametrize("number", range(8))
def test_it(number):
    with open("ran.txt", "a") as file:
        file.write(os.environ["PYTEST_XDIST_WORKER"] + " " + __file__ + "\\n")
"""


def test_the_files_of_every_group_exist() -> None:
    assert [start for start in GROUPS if not list(ROOT.glob(f"{start.rstrip('/')}*"))] == []


def test_files_and_groups_stay_in_one_process(tmp_path: Path) -> None:
    """pytest-xdist says nothing when grouping does not work."""
    names = ("test_other.py", "launchers/test_slurm_a.py", "launchers/test_status_slurm.py")
    for name in names:
        file = tmp_path / "tests" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(TESTS)
    hooks = "from spread import pytest_collection_modifyitems, pytest_xdist_make_scheduler\n"
    (tmp_path / "tests" / "conftest.py").write_text(hooks)
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", "tests"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(spread.__file__).parent)},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    ran = [line.split() for line in (tmp_path / "ran.txt").read_text().splitlines()]
    assert len(ran) == 3 * 8
    workers = {name: {worker for worker, file in ran if file.endswith(name)} for name in names}
    assert workers[names[1]] == workers[names[2]]
    assert [len(found) for found in workers.values()] == [1, 1, 1]
    assert workers[names[0]] != workers[names[1]]
