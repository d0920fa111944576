from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from report_runs import write_run

from freqexp.comparing.budgets import AXES, Point, pareto, pareto_axes
from freqexp.comparing.compare import compare
from freqexp.comparing.comparison import Comparison
from freqexp.comparing.findings import findings
from freqexp.comparing.gates import gates
from freqexp.comparing.load import load
from freqexp.schemas.in_decoder import FastvConfig
from freqexp.schemas.tokens import PoolConfig, TokenConfig

STORED, TOKENS, *_ = AXES


def compared(outputs: Path) -> Comparison:
    return compare(load([str(outputs)]))


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=20))
def test_the_pareto_set_is_what_nothing_dominates(pairs: list[tuple[int, int]]) -> None:
    found = [Point(None, cost, accuracy) for cost, accuracy in pairs]  # type: ignore[arg-type]
    expected = {
        (cost, accuracy)
        for cost, accuracy in pairs
        if not any(c <= cost and a >= accuracy and (c, a) != (cost, accuracy) for c, a in pairs)
    }
    best = pareto(found)
    assert {(point.cost, point.accuracy) for point in best} == expected
    assert [point.cost for point in best] == sorted({cost for cost, _ in expected})


def test_what_was_not_measured_is_on_no_axis(tmp_path: Path) -> None:
    write_run(tmp_path, "base", [1.0, 1.0])
    write_run(tmp_path, "ours", [1.0, 0.5], TokenConfig(), vision_tokens_out=72, decoder_tokens=94)
    comparison = compared(tmp_path)
    # Of the stored bytes only the baseline's PNG is known.
    assert [STORED.cost(row) for row in comparison.rows] == [6_000, None]
    assert pareto_axes(comparison) == {
        "base": ["decoder_tokens", "kv_cache_bytes", "total_ms"],
        "ours": ["decoder_tokens"],
    }


def test_counted_operations_are_an_axis_where_they_were_counted(tmp_path: Path) -> None:
    flops = next(axis for axis in AXES if axis.name == "flops")
    write_run(tmp_path, "base", [1.0, 1.0], encode_flops=5 * 10**9, prefill_flops=7 * 10**9)
    less = {"encode_flops": 5 * 10**9, "prefill_flops": 2 * 10**9, "compress_flops": 10**9}
    write_run(tmp_path, "ours", [1.0, 0.5], TokenConfig(), **less)
    comparison = compared(tmp_path)
    assert [flops.cost(row) for row in comparison.rows] == [12e9, 8e9]
    assert flops.amount(12e9) == "12 GFLOP a sample"
    assert "flops" in pareto_axes(comparison)["ours"]
    write_run(tmp_path, "before", [0.5, 0.5], PoolConfig())
    said = "counted operations: not measured in 1 of 3 runs"
    assert said in findings(compared(tmp_path))


def test_runs_of_before_operations_were_counted_are_told_nothing(tmp_path: Path) -> None:
    write_run(tmp_path, "base", [1.0, 1.0])
    assert not [line for line in findings(compared(tmp_path)) if "operations" in line]


def test_tokens_are_those_of_a_layer(tmp_path: Path) -> None:
    """Who drops tokens inside the decoder pays for the layers before; records of before that was
    measured have the tokens at the input.
    """
    base = {"mean_layer_tokens": 166.0}
    write_run(tmp_path, "base", [1.0, 1.0], **base)
    inside = {"mean_layer_tokens": 118.0, "kv_cache_bytes": 9216 * 118}
    write_run(tmp_path, "inside", [1.0, 0.5], FastvConfig(), **inside)
    fewer = {"decoder_tokens": 94, "mean_layer_tokens": 94.0, "kv_cache_bytes": 9216 * 94}
    write_run(tmp_path, "before", [0.5, 0.5], TokenConfig(), **fewer)
    write_run(tmp_path, "old", [0.5, 0.5], PoolConfig(), decoder_tokens=95)
    rows = {row.run.run_id: row for row in compared(tmp_path).rows}
    costs = {name: TOKENS.cost(row) for name, row in rows.items()}
    assert costs == {"base": 166, "inside": 118, "before": 94, "old": 95}
    assert TOKENS.acts([rows["inside"]], list(rows.values()))
    # Fewer tokens alone make the cache smaller: that is no second budget.
    cache = next(axis for axis in AXES if axis.name == "kv_cache_bytes")
    assert not cache.acts([rows["inside"], rows["before"]], list(rows.values()))


def test_a_method_inside_the_decoder_meets_controls_of_no_more_tokens_a_layer(
    tmp_path: Path,
) -> None:
    scores = [1.0, 0.5] * 20
    write_run(tmp_path, "base", [1.0] * 40, mean_layer_tokens=166.0)
    inside = {"mean_layer_tokens": 118.0, "kv_cache_bytes": 9216 * 118}
    write_run(tmp_path, "ours", scores, FastvConfig(), **inside)
    fewer = {"decoder_tokens": 118, "mean_layer_tokens": 118.0, "kv_cache_bytes": 9216 * 118}
    write_run(tmp_path, "pool", [0.0] * 40, PoolConfig(), **fewer)
    (gate,) = gates(compared(tmp_path))
    assert (gate.method, gate.budget, gate.verdict) == ("fastv", "decoder tokens", "passes")
    assert "at 118 tokens a sample" in gate.reason
