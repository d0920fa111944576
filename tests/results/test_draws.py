from __future__ import annotations

from dataclasses import replace
from typing import Any

from test_table import record

from freqexp.results.draws import is_drawn, pooled, without_seed
from freqexp.results.record import settle
from freqexp.results.summarize import summarize
from freqexp.results.table import render_table
from freqexp.schemas.kv import KVRandomConfig
from freqexp.schemas.tokens import PoolConfig, RandomPruneConfig


def drawn(config: Any, scores: dict[int, float], method: Any = RandomPruneConfig) -> list[Any]:
    return [
        summarize(
            config(compressor=method(seed=seed, seeds=1)),
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


def test_draws_of_the_cache_are_pooled_too(config: Any) -> None:
    runs = drawn(config, {0: 0.25, 1: 0.5, 2: 0.75}, KVRandomConfig)
    (row,) = pooled(runs)
    assert (row.summary.accuracy, row.note()) == (0.5, "3 seeds: 0.250 to 0.750")
    assert row.summary.options == ""
    seen = [replace(run, options=f"question=seen,{run.options}".rstrip(",")) for run in runs]
    assert len(pooled([*runs, *seen])) == 2


def test_draws_of_combinations_are_told_apart_by_both_seeds(config: Any) -> None:
    one, two, three = drawn(config, {0: 0.25, 1: 0.5, 2: 0.75}, KVRandomConfig)
    with_png = [replace(run, compressor="png+kv_random") for run in (one, two, three)]
    with_png = [
        replace(run, options=f"kv.seed={seed}" if seed else "") for seed, run in enumerate(with_png)
    ]
    (row,) = pooled(with_png)
    assert (row.summary.options, len(row.draws)) == ("", 3)

    both = [replace(run, compressor="random_prune+kv_random") for run in (one, two, three)]
    seeds = ("token.seed=1", "kv.seed=1", "token.seed=1,kv.seed=1,kv.bits=4")
    both = [replace(run, options=text) for run, text in zip(both, seeds, strict=True)]
    first, other = pooled(both)
    assert (len(first.draws), first.summary.options) == (2, "")
    assert (len(other.draws), other.summary.options) == (1, seeds[2])
    both[2] = replace(both[2], options="token.seed=1,kv.seed=1")
    assert [len(row.draws) for row in pooled(both)] == [3]


def test_random_methods_are_known_by_name() -> None:
    assert all(map(is_drawn, ("random_prune", "kv_random", "jpeg+kv_random", "random_prune+kivi")))
    assert not any(map(is_drawn, ("none", "pool", "jpeg+snapkv", "")))


def test_only_the_seed_leaves_the_options() -> None:
    assert without_seed("token.seed=1,kv.seed=2,block=8") == "block=8"
    assert without_seed("kv.seed=2") == ""
    assert without_seed("kv.scope=vision,kv.seed=2,kv.bits=4") == "kv.scope=vision,kv.bits=4"
    assert without_seed("token.seed=2,block=8") == "block=8"
    assert without_seed("block=8,seed=2,fit=pad") == "block=8,fit=pad"
