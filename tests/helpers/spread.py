"""How tests are spread over several processes (`-n 2`): what stays together, and what starts first.

Hooks for conftest.py. `--dist=loadgroup` and its mark would do the first, but do not with
pytest 9.2 (https://github.com/pytest-dev/pytest-xdist/issues/1386).
"""

from __future__ import annotations

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

ON_SLURM = "on SLURM"
# The longest first, because what starts last decides when the tests end. Tests of a group share
# what is dear to build (a SLURM, loaded models, drawn reports) or start many processes at once.
# W&B's come when SLURM's are over: they say how long a broken server may hold a run up.
GROUPS = {
    "tests/launchers/test_slurm_": ON_SLURM,
    "tests/launchers/test_status_slurm.py": ON_SLURM,
    "tests/launchers/test_workers.py": ON_SLURM,
    "tests/test_conformance.py": "conformance",
    "tests/test_notebooks.py": "notebooks",
    "tests/readers/": "readers",
    "tests/test_docs.py": "docs",
    "tests/reproduce/test_reproduce.py": "reproduce",
    "tests/tracking/": "tracking",
    "tests/report/": "report",
    "tests/composing/": "composing",
    "tests/train/": "train",
    "tests/running/test_execute.py": "execute",
    "tests/reproduce/test_experiments.py": "experiments",
}
"""The group of a test whose id begins so."""


def group_of(nodeid: str) -> str:
    """The group of a test: one of GROUPS, or its file."""
    found = (group for start, group in GROUPS.items() if nodeid.startswith(start))
    return next(found, nodeid.partition("::")[0])


class Spread(LoadScopeScheduling):
    """Gives each process one group after the other, in the order in which tests were collected."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Spread:
    """Use it, whatever `--dist` says."""
    config.option.loadscopereorder = False  # else by the number of tests
    return Spread(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Order tests by group, in each of several processes alike."""
    if hasattr(config, "workerinput"):
        ranks = {group: rank for rank, group in enumerate(dict.fromkeys(GROUPS.values()))}
        items.sort(key=lambda item: ranks.get(group_of(item.nodeid), len(ranks)))
