"""Bytes of the KV cache of a run computed again: equal on every sample, or they differ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from report_runs import cached, record, write_run

from freqexp.comparing.run import Run
from freqexp.comparing.run_files import load_run
from freqexp.nouns.cache import CACHE_COMPONENTS
from freqexp.published.cells import Cell, Verdict
from freqexp.reproduce.runs import compare_runs
from freqexp.reproduce.saved import Surroundings
from freqexp.schemas.kv import KVRandomConfig

SAME = Surroundings((), (), other_weights=False, other_versions=False)
COUNTED = ("cache", "full", "shared", *CACHE_COMPONENTS)


def run(outputs: Path, **changes: Any) -> Run:
    fields = {f"kv_{name}_bytes": 1000 + place for place, name in enumerate(COUNTED)}
    grown = {"kv_end_bytes": 5000, "kv_read_bytes": 600, "new_tokens": 7}
    folder = write_run(
        outputs, "mine", [1.0, 0.5], KVRandomConfig(), **cached(**{**fields, **grown, **changes})
    )
    found = load_run(folder)
    assert found is not None
    return found


def cells(then: Run, now: Run) -> dict[str, Cell]:
    return {cell.figure: cell for cell in compare_runs(then, now, SAME)}


def test_every_size_of_the_cache_is_compared(tmp_path: Path) -> None:
    found = cells(run(tmp_path / "then"), run(tmp_path / "now"))
    sizes = {name for name in vars(record("s", 1.0)) if name.startswith("kv_")}
    sizes -= {"kv_ms", "kv_simulated"}
    assert sizes <= set(found)
    assert {cell.verdict for cell in found.values()} == {Verdict.reproduced}


@pytest.mark.parametrize("name", COUNTED)
def test_another_size_differs(tmp_path: Path, name: str) -> None:
    figure = f"kv_{name}_bytes"
    found = cells(run(tmp_path / "then"), run(tmp_path / "now", **{figure: 7}))
    assert [figure for figure, cell in found.items() if cell.verdict is Verdict.differs] == [figure]
    assert found[figure].difference == "2 of 2 samples differ"


def test_what_was_not_measured_or_is_empty_says_nothing(tmp_path: Path) -> None:
    """A run of before the cache was taken apart still is reproduced."""
    before = {f"kv_{name}_bytes": None for name in COUNTED if name != "cache"}
    found = cells(run(tmp_path / "then", **before), run(tmp_path / "now", kv_zeros_bytes=0))
    assert {name for name in found if name.startswith("kv_")} == {
        "kv_cache_bytes",
        "kv_end_bytes",
        "kv_read_bytes",
    }
    assert {cell.verdict for cell in found.values()} == {Verdict.reproduced}
    empty = run(tmp_path / "empty", kv_zeros_bytes=0)
    assert "kv_zeros_bytes" not in cells(empty, run(tmp_path / "again", kv_zeros_bytes=0))
    lost = cells(run(tmp_path / "full"), run(tmp_path / "lost", kv_codes_bytes=None))
    assert lost["kv_codes_bytes"].verdict is Verdict.differs


def test_what_grows_with_the_answer_is_compared_where_it_is_as_long(tmp_path: Path) -> None:
    then = run(tmp_path / "then")
    longer = cells(then, run(tmp_path / "longer", kv_end_bytes=6000, new_tokens=8))
    assert "kv_end_bytes" not in longer
    assert {cell.verdict for cell in longer.values()} == {Verdict.reproduced}
    found = cells(then, run(tmp_path / "alike", kv_end_bytes=6000))
    assert found["kv_end_bytes"].verdict is Verdict.differs
