from __future__ import annotations

from pathlib import Path

import pytest
from report_runs import write_run

from freqexp.comparing.compare import compare
from freqexp.comparing.comparison import Comparison
from freqexp.comparing.findings import findings
from freqexp.comparing.gates import gates, overall
from freqexp.comparing.load import load
from freqexp.comparing.rivals import CONTROLS, STAGES, absent_controls
from freqexp.schemas.codecs import BlockDctConfig
from freqexp.schemas.tokens import PoolConfig, RandomPruneConfig, TokenConfig

FEWER = {"decoder_tokens": 94, "kv_cache_bytes": 9216 * 94, "decode_ms": 90.0}
ABOVE = [0.9, 0.8] * 20
BELOW = [0.5, 0.0] * 20


def compared(outputs: Path) -> Comparison:
    return compare(load([str(outputs)]))


def method_and_control(outputs: Path, method: list[float], control: list[float]) -> Comparison:
    """A token method and a control with the same tokens; both quicker than no compression."""
    write_run(outputs, "base", [1.0] * len(method), decode_ms=500.0)
    write_run(outputs, "ours", method, TokenConfig(), **FEWER)
    write_run(outputs, "ctrl", control, RandomPruneConfig(), **FEWER)
    return compared(outputs)


def test_a_method_that_controls_equal_is_marked(tmp_path: Path) -> None:
    (gate,) = gates(method_and_control(tmp_path, BELOW, BELOW))
    assert (gate.method, gate.budget, gate.verdict) == ("token", "decoder tokens", "fails")


def test_a_method_surely_above_the_controls_passes(tmp_path: Path) -> None:
    comparison = method_and_control(tmp_path, ABOVE, BELOW)
    (gate,) = gates(comparison)
    assert gate.verdict == "passes"
    assert "against random_prune keep 0.5 at 94 tokens a sample: +0.600" in gate.reason
    assert any(
        "token by decoder tokens beats the controls" in line for line in findings(comparison)
    )


def test_a_lead_within_its_interval_proves_nothing(tmp_path: Path) -> None:
    ours = [1.0, 0.0] * 20 + [0.5]
    (gate,) = gates(method_and_control(tmp_path, ours, [0.0, 1.0] * 20 + [0.0]))
    assert gate.verdict == "ahead"


def test_who_beats_the_controls_below_chance_does_not_pass(tmp_path: Path) -> None:
    """Chance is 0.25 in these runs."""
    (gate,) = gates(method_and_control(tmp_path, [0.2] * 40, [0.1] * 40))
    assert gate.verdict == "at chance"


def test_without_chance_there_is_no_such_floor(tmp_path: Path) -> None:
    write_run(tmp_path, "base", [1.0] * 40, chance=None)
    write_run(tmp_path, "ours", [0.2] * 40, TokenConfig(), **FEWER, chance=None)
    write_run(tmp_path, "ctrl", [0.1] * 40, RandomPruneConfig(), **FEWER, chance=None)
    (gate,) = gates(compared(tmp_path))
    assert gate.verdict == "passes"


def test_time_is_no_budget(tmp_path: Path) -> None:
    """A method that takes a little longer than no compression is not beaten by it for that."""
    write_run(tmp_path, "base", [1.0] * 40)
    write_run(tmp_path, "ours", ABOVE, TokenConfig(), **{**FEWER, "decode_ms": 900.0})
    write_run(tmp_path, "ctrl", BELOW, RandomPruneConfig(), **{**FEWER, "decode_ms": 1.0})
    assert [gate.budget for gate in gates(compared(tmp_path))] == ["decoder tokens"]


def test_the_cache_is_a_budget_only_where_a_method_acts_on_it(tmp_path: Path) -> None:
    comparison = method_and_control(tmp_path / "tokens", ABOVE, BELOW)
    assert {gate.budget for gate in gates(comparison)} == {"decoder tokens"}
    halved = {"decoder_tokens": 166, "kv_cache_bytes": 4608 * 166}
    write_run(tmp_path / "kv", "base", [1.0] * 40)
    write_run(tmp_path / "kv", "ctrl", ABOVE, PoolConfig(), **halved)
    write_run(tmp_path / "kv", "ours", ABOVE, TokenConfig(), **halved)
    (gate,) = gates(compared(tmp_path / "kv"))
    assert (gate.budget, gate.verdict) == ("KV cache", "fails")


def test_what_costs_more_than_no_compression_saves_nothing(tmp_path: Path) -> None:
    write_run(tmp_path, "base", [1.0] * 4)
    write_run(tmp_path, "ours", [1.0] * 4, BlockDctConfig(), stored_bytes=30_000)
    (gate,) = gates(compared(tmp_path))
    assert (gate.budget, gate.verdict) == ("stored size", "saves nothing")
    assert gate.reason == "29.3 KiB a sample at least, uncompressed 5.859 KiB a sample"


def test_with_other_options_it_is_another_method(tmp_path: Path) -> None:
    method_and_control(tmp_path, BELOW, BELOW)
    write_run(tmp_path, "bare", ABOVE, TokenConfig(transform=False, quantize=False), **FEWER)
    found = {gate.method: gate.verdict for gate in gates(compared(tmp_path))}
    assert found == {"token": "fails", "token (transform=false,quantize=false)": "passes"}
    assert overall(gates(compared(tmp_path)))[0, "token"] == "fails"


def test_every_look_is_paid_for(tmp_path: Path) -> None:
    """One look at p = 0.03 passes; among twelve settings it does not."""
    # Seven gains of equal size and one loss: 2 * 9 / 2 ** 8 = 0.07; eight gains: 2 / 2 ** 8.
    ours, control = [1.0] * 30, [0.5] * 6 + [1.0] * 24
    (alone,) = gates(method_and_control(tmp_path, ours, control))
    assert alone.verdict == "passes"
    assert "p 0.031 (Holm, 1 looks)" in alone.reason
    for index in range(11):
        keep = 0.5 + index / 100
        write_run(tmp_path, f"more{index}", control, TokenConfig(), keep_ratio=keep, **FEWER)
    (among,) = gates(compared(tmp_path))
    assert among.verdict == "ahead"
    assert "Holm, 12 looks" in among.reason


@pytest.mark.parametrize("budget", ["decoder tokens"])
def test_without_a_control_nothing_is_tested(tmp_path: Path, budget: str) -> None:
    write_run(tmp_path, "base", [1.0, 1.0])
    write_run(tmp_path, "ours", [1.0, 1.0], TokenConfig(), **FEWER)
    comparison = compared(tmp_path)
    assert [(gate.budget, gate.verdict) for gate in gates(comparison)] == [(budget, "untested")]
    expected = [name for name in CONTROLS if STAGES[name] != "kv"]
    assert absent_controls([row.run for row in comparison.rows]) == expected


def test_controls_are_not_methods(tmp_path: Path) -> None:
    write_run(tmp_path, "base", [1.0, 1.0])
    write_run(tmp_path, "ctrl", [1.0, 1.0], RandomPruneConfig(), **FEWER)
    assert gates(compared(tmp_path)) == []


def test_runs_of_more_samples_cost_no_less_for_it(tmp_path: Path) -> None:
    """The baseline has grown, to samples with shorter questions."""
    write_run(tmp_path, "base", [1.0] * 40)
    more = write_run(tmp_path / "more", "base", [1.0] * 80, decoder_tokens=100)
    lines = (more / "records.jsonl").read_text().splitlines(keepends=True)
    with (tmp_path / "runs" / "base" / "records.jsonl").open("a") as file:
        file.writelines(lines[40:])
    write_run(tmp_path, "same", [1.0] * 40, TokenConfig(prune=False))
    write_run(tmp_path, "ours", ABOVE, TokenConfig(), decoder_tokens=140)
    write_run(tmp_path, "ctrl", BELOW, RandomPruneConfig(), decoder_tokens=140)
    found = {(gate.method, gate.budget): gate.verdict for gate in gates(compared(tmp_path))}
    assert found["token", "decoder tokens"] == "passes"
    assert ("token (prune=false)", "decoder tokens") not in found
