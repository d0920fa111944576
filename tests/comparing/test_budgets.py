from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from report_runs import write_run

from freqexp.comparing import budgets
from freqexp.comparing.budgets import AXES, Point, absent_controls, gates, pareto, pareto_axes
from freqexp.comparing.compare import compare
from freqexp.comparing.comparison import Comparison
from freqexp.comparing.load import load
from freqexp.schemas.codecs import BlockDctConfig
from freqexp.schemas.compressor import TokenConfig

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


def method_and_control(outputs: Path, method: list[float], control: list[float]) -> Comparison:
    """A token method and, with the same tokens, a control (here: block_dct in its place)."""
    write_run(outputs, "base", [1.0] * len(method), decode_ms=500.0)
    same = {"decoder_tokens": 94, "kv_cache_bytes": 9216 * 94, "decode_ms": 90.0}
    write_run(outputs, "ours", method, TokenConfig(), **same)
    write_run(outputs, "ctrl", control, BlockDctConfig(), **same)
    return compared(outputs)


def test_a_method_that_controls_equal_is_marked(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(budgets, "CONTROLS", {"block_dct": "stands in for a control"})
    (gate,) = gates(method_and_control(tmp_path, [0.5, 0.0] * 20, [0.5, 0.0] * 20))
    assert (gate.method, gate.verdict) == ("token", "fails")


def test_a_method_surely_above_the_controls_passes(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(budgets, "CONTROLS", {"block_dct": "stands in for a control"})
    (gate,) = gates(method_and_control(tmp_path, [0.9, 0.8] * 20, [0.5, 0.0] * 20))
    assert gate.verdict == "passes"
    assert "against block_dct" in gate.reason


def test_a_lead_within_its_interval_proves_nothing(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(budgets, "CONTROLS", {"block_dct": "stands in for a control"})
    ours = [1.0, 0.0] * 20 + [0.5]
    (gate,) = gates(method_and_control(tmp_path, ours, [0.0, 1.0] * 20 + [0.0]))
    assert gate.verdict == "ahead"


def test_without_a_control_nothing_is_tested(tmp_path: Path) -> None:
    comparison = method_and_control(tmp_path, [1.0, 1.0], [0.0, 0.0])
    assert {gate.verdict for gate in gates(comparison)} == {"untested"}
    assert absent_controls(comparison.rows) == list(budgets.CONTROLS)


def test_controls_are_not_methods(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(budgets, "CONTROLS", {"block_dct": "", "token": ""})
    assert gates(method_and_control(tmp_path, [1.0, 1.0], [0.0, 0.0])) == []
