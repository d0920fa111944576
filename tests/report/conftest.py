"""Runs for the report's tests."""

from __future__ import annotations

from pathlib import Path

import pytest
import report_runs


@pytest.fixture(scope="session")
def drawable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output folder with the sweep "three", whose pages can be drawn again."""
    outputs = tmp_path_factory.mktemp("drawable")
    report_runs.write_real(outputs)
    return outputs
