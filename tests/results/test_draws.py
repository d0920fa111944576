from __future__ import annotations

from dataclasses import replace
from typing import Any

from test_table import record

from freqexp.results.draws import pooled, without_seed
from freqexp.results.record import settle
from freqexp.results.summarize import summarize
from freqexp.results.table import render_table
from freqexp.schemas.tokens import PoolConfig, RandomPruneConfig


def drawn(config: Any, scores: dict[int, float]) -> list[Any]:
    return [
        summarize(
            config(compressor=RandomPruneConfig(seed=seed, seeds=1)),
            f"{seed}" * 16,
            settle([record("a", score), record("b", score)]),
        )
        for seed, score in scores.items()
    ]


def test_draws_are_one_row_with_their_spread(config: Any) -> None:
    pool = summarize(config(compressor=PoolConfig()), "f" * 16, settle([record("a", 0.5)]))
    runs = [*drawn(config, {0: 0.25, 1: 0.5, 2: 0.75}), pool]
    first, other = pooled(runs)
    assert (first.summary.accuracy, first.note()) == (0.5, "3 seeds: 0.250 to 0.750")
    assert first.summary.options == ""
    assert (other.summary, other.note()) == (pool, "")
    table = render_table(runs)
    assert table.count("random_prune") == 1
    assert "3 seeds: 0.250 to 0.750" in table


def test_a_row_of_fewer_draws_says_so(config: Any) -> None:
    one, two = drawn(config, {0: 0.25, 1: 0.5})
    assert "1 draw" in render_table([one])
    assert "2 draws" in render_table([one, two])


def test_other_budgets_and_one_seed_twice_are_not_pooled(config: Any) -> None:
    one, two, _ = drawn(config, {0: 0.25, 1: 0.5, 2: 0.75})
    assert len(pooled([one, replace(two, keep_ratio=None, keep_tokens=72)])) == 2
    assert len(pooled([one, replace(two, options="")])) == 2


def test_only_the_seed_leaves_the_options() -> None:
    assert without_seed("token.seed=2,block=8") == "block=8"
    assert without_seed("block=8,seed=2,fit=pad") == "block=8,fit=pad"
