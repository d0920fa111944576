"""`slurm`: a real SLURM, the same for all tests, and empty for each."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from slurm_fixture import Slurm, clean_environment, missing, running_slurm


@pytest.fixture(scope="session")
def slurm_cluster() -> Iterator[Slurm]:
    """SLURM for the whole session. Without one a test is skipped, and in CI (CI=true) it fails."""
    reason = missing()
    if reason is not None:
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    with running_slurm() as slurm:
        yield slurm


@pytest.fixture
def slurm(slurm_cluster: Slurm, monkeypatch: pytest.MonkeyPatch) -> Iterator[Slurm]:
    """SLURM in the environment of one test, whose jobs are cancelled when it ends."""
    for name in set(os.environ) - set(clean_environment()):
        monkeypatch.delenv(name)
    for name, value in slurm_cluster.env.items():
        monkeypatch.setenv(name, value)
    yield slurm_cluster
    slurm_cluster.clear()
