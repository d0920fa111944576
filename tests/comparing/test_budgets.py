from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from report_runs import write_run

from freqexp.comparing.budgets import AXES, Point, pareto, pareto_axes
from freqexp.comparing.compare import compare
from freqexp.comparing.comparison import Comparison
from freqexp.comparing.load import load
from freqexp.schemas.tokens import TokenConfig

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
