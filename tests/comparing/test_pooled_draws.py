from __future__ import annotations

from pathlib import Path

import pytest
from report_runs import write_run

from freqexp.comparing.compare import compare
from freqexp.comparing.findings import findings
from freqexp.comparing.gates import gates
from freqexp.comparing.load import load
from freqexp.schemas.kv import KeyDiffConfig, KVRandomConfig
from freqexp.schemas.method import CompressorConfig
from freqexp.schemas.tokens import RandomPruneConfig, TokenConfig

FEWER = {"decoder_tokens": 94, "kv_cache_bytes": 9216 * 94, "decode_ms": 90.0}
DRAWS = ([0.9, 0.0, 0.0] * 14, [0.0, 0.6, 0.0] * 14, [0.0, 0.0, 0.3] * 14)


@pytest.mark.parametrize(
    ("ours", "control"), [(TokenConfig(), RandomPruneConfig), (KeyDiffConfig(), KVRandomConfig)]
)
def test_draws_are_one_control_and_one_look(
    tmp_path: Path, ours: CompressorConfig, control: type[RandomPruneConfig | KVRandomConfig]
) -> None:
    write_run(tmp_path, "base", [1.0] * 42, decode_ms=500.0)
    write_run(tmp_path, "ours", [0.5] * 42, ours, **FEWER)
    for seed, scores in enumerate(DRAWS):
        write_run(tmp_path, f"ctrl{seed}", scores, control(seed=seed, seeds=1), **FEWER)
    name = control().name
    comparison = compare(load([str(tmp_path)]))
    (gate,) = gates(comparison)
    # The mean of the draws is 0.2 on every sample's average; their best one has 0.3.
    assert f"{name} keep 0.5 (3 draws)" in gate.reason
    assert "+0.300" in gate.reason
    assert "1 looks" in gate.reason
    assert f"{name} keep 0.5: 3 seeds: 0.100 to 0.300" in findings(comparison)


def test_time_from_page_to_answer_holds_the_compressor(tmp_path: Path) -> None:
    write_run(tmp_path, "base", [1.0] * 4)
    write_run(tmp_path, "fast", [0.5] * 4, TokenConfig(), compress_ms=1.0)
    write_run(tmp_path, "slow", [0.5] * 4, TokenConfig(), compress_ms=101.0)
    rows = {row.run.run_id: row for row in compare(load([str(tmp_path)])).rows}
    fast, slow = rows["fast"].median_ms, rows["slow"].median_ms
    assert fast is not None
    assert slow is not None
    assert slow - fast == 100.0
