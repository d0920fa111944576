"""Answers that a length limit cut off while the model was thinking are no wrong answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from report_runs import CONFIG, record, write_run

from freqexp.comparing.compare import compare
from freqexp.comparing.findings import findings
from freqexp.comparing.gates import gates
from freqexp.comparing.load import load
from freqexp.results.record import cut_off
from freqexp.schemas.codecs import BlockDctConfig
from freqexp.schemas.tokens import PoolConfig, TokenConfig

THINKS = replace(CONFIG, model=replace(CONFIG.model, answer_after="</think>"))


@pytest.mark.parametrize(
    ("mark", "truncated", "raw", "wanted"),
    [
        ("</think>", True, None, True),
        ("</think>", True, "<think>so</think>pre", False),
        ("</think>", False, None, False),
        (None, True, None, False),
    ],
)
def test_what_is_cut_off(mark: str | None, truncated: bool, raw: str | None, wanted: bool) -> None:
    assert cut_off(record("s", 0.0, truncated=truncated, raw_answer=raw), mark) == wanted


def test_nothing_follows_from_runs_that_were_cut_off_far_more_often(tmp_path: Path) -> None:
    scores = [1.0] * 20
    write_run(tmp_path, "base", scores, config=THINKS)
    write_run(tmp_path, "cut", [0.0] * 20, TokenConfig(), config=THINKS, truncated=True)
    write_run(tmp_path, "pool", [0.0] * 20, PoolConfig(), config=THINKS, truncated=True)
    raw = "<think>all is well</think>pre"
    write_run(
        tmp_path, "long", scores, BlockDctConfig(), config=THINKS, truncated=True, raw_answer=raw
    )
    found = compare(load([str(tmp_path)]))
    rows = {row.run.run_id: row for row in found.rows}
    assert "20 truncated (20 while thinking)" in rows["cut"].notes
    assert "20 truncated" in rows["long"].notes
    said = [line for line in findings(found) if "was thinking" in line]
    assert len(said) == 2
    assert all(
        "100 % of its answers ended while" in line and "0 % of the bas" in line for line in said
    )
    # `token` may be held against `pool`, which was cut off as often, not against the baseline.
    assert not any("against none" in gate.reason for gate in gates(found) if "token" in gate.method)
