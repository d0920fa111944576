"""Methods on the KV cache beside the controls they must beat, and the question seen or unseen."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from report_runs import cached, write_run

from freqexp.comparing.budgets import pareto_axes
from freqexp.comparing.compare import compare
from freqexp.comparing.comparison import Comparison
from freqexp.comparing.findings import findings
from freqexp.comparing.gates import gates
from freqexp.comparing.load import load
from freqexp.comparing.rivals import CONTROLS, STAGES, absent_controls
from freqexp.schemas.choices import Question
from freqexp.schemas.codecs import DownsampleConfig
from freqexp.schemas.compressor import CombinedConfig
from freqexp.schemas.kv import EvictConfig, KVRandomConfig
from freqexp.schemas.method import NoneConfig
from freqexp.schemas.tokens import PoolConfig, RandomPruneConfig, TokenConfig

ABOVE, BELOW = [0.9, 0.8] * 20, [0.5, 0.0] * 20
KV = [name for name in CONTROLS if STAGES[name] == "kv"]
ELSEWHERE = [name for name in CONTROLS if STAGES[name] != "kv"]


@dataclass
class OursConfig(EvictConfig):
    """A method on the cache that is no control."""

    name: str = "ours"


@dataclass
class AsksConfig(EvictConfig):
    """One that sees the question unless it is told otherwise."""

    name: str = "asks"
    question: Question = Question.seen


def compared(outputs: Path) -> Comparison:
    return compare(load([str(outputs)]))


def verdicts(outputs: Path) -> dict[tuple[str, str], str]:
    return {(gate.method, gate.budget): gate.verdict for gate in gates(compared(outputs))}


def absent(outputs: Path) -> list[str]:
    return absent_controls([row.run for row in compared(outputs).rows])


def base(outputs: Path, count: int = 40) -> None:
    held = cached(1.0, None, kv_simulated=None)
    write_run(outputs, "base", [1.0] * count, **held)


def test_a_method_on_the_cache_meets_controls_there_and_nowhere_else(tmp_path: Path) -> None:
    """Not even where a library's cache says that its layers hold fewer tokens."""
    base(tmp_path)
    fewer = cached(mean_layer_tokens=80.0)
    write_run(tmp_path, "mine", ABOVE, OursConfig(), **fewer)
    write_run(tmp_path, "ctrl", BELOW, KVRandomConfig(), **fewer)
    (gate,) = gates(compared(tmp_path))
    assert (gate.method, gate.budget, gate.verdict) == ("ours", "KV cache", "passes")
    assert "against kv_random keep 0.5" in gate.reason


def test_without_a_baseline_it_acts_on_nothing_but_the_cache(tmp_path: Path) -> None:
    write_run(tmp_path, "mine", ABOVE, OursConfig(), **cached())
    assert verdicts(tmp_path) == {("ours", "KV cache"): "untested"}


def test_a_cache_that_got_no_smaller_saves_nothing(tmp_path: Path) -> None:
    base(tmp_path)
    write_run(tmp_path, "mine", ABOVE, OursConfig(), **cached(1.0, kv_simulated=True))
    assert verdicts(tmp_path) == {("ours", "KV cache"): "saves nothing"}


@pytest.mark.parametrize("control", [RandomPruneConfig(), PoolConfig(), DownsampleConfig()])
def test_controls_that_send_fewer_tokens_into_the_cache_are_rivals(
    tmp_path: Path, control: RandomPruneConfig
) -> None:
    base(tmp_path)
    write_run(tmp_path, "mine", BELOW, OursConfig(), **cached())
    tokens = {"decoder_tokens": 83, "kv_cache_bytes": 9216 * 83, "mean_layer_tokens": 83.0}
    write_run(tmp_path, "ctrl", ABOVE, control, **tokens)
    assert verdicts(tmp_path) == {("ours", "KV cache"): "fails"}
    costlier = {"decoder_tokens": 84, "kv_cache_bytes": 9216 * 84, "mean_layer_tokens": 84.0}
    base(tmp_path / "costlier")
    write_run(tmp_path / "costlier", "mine", BELOW, OursConfig(), **cached())
    write_run(tmp_path / "costlier", "ctrl", ABOVE, control, **costlier)
    assert verdicts(tmp_path / "costlier") == {("ours", "KV cache"): "untested"}


@pytest.mark.parametrize("question", ["unseen", None])
def test_controls_on_the_cache_are_no_rivals_of_other_methods(
    tmp_path: Path, question: str | None
) -> None:
    """A token method that halves what a token takes in the cache acts on it, too."""
    base(tmp_path)
    halved = {"kv_cache_bytes": 4608 * 166, "mean_layer_tokens": 166.0}
    write_run(tmp_path, "mine", BELOW, TokenConfig(), **halved)
    write_run(tmp_path, "ctrl", ABOVE, KVRandomConfig(), **cached(question=question))
    assert verdicts(tmp_path) == {("token", "KV cache"): "untested"}


def test_seen_and_unseen_are_two_methods_that_never_meet(tmp_path: Path) -> None:
    base(tmp_path)
    write_run(tmp_path, "mine", BELOW, OursConfig(), **cached())
    write_run(
        tmp_path, "asks", BELOW, OursConfig(question=Question.seen), **cached(question="seen")
    )
    seen = KVRandomConfig(question=Question.seen)
    write_run(tmp_path, "ctrl", ABOVE, seen, **cached(question="seen"))
    expected = {("ours", "KV cache"): "untested", ("ours (question=seen)", "KV cache"): "fails"}
    assert verdicts(tmp_path) == expected
    write_run(tmp_path, "other", [0.0] * 40, KVRandomConfig(), **cached())
    assert verdicts(tmp_path)["ours", "KV cache"] == "at chance"


def test_a_question_seen_by_default_is_said(tmp_path: Path) -> None:
    base(tmp_path)
    write_run(tmp_path, "seen", ABOVE, AsksConfig(), **cached(question="seen"))
    write_run(tmp_path, "not", ABOVE, AsksConfig(question=Question.unseen), **cached())
    runs = {row.run.run_id: row.run for row in compared(tmp_path).rows}
    assert runs["seen"].title() == "asks keep 0.5, question seen"
    assert runs["not"].title() == "asks keep 0.5 (question=unseen)"
    assert [runs[name].method for name in ("seen", "not")] == ["asks, question seen", "asks"]
    methods = {method for method, _ in verdicts(tmp_path)}
    assert methods == {"asks, question seen", "asks (question=unseen)"}


def test_a_combination_acts_on_tokens_and_cache_and_meets_controls_of_both(tmp_path: Path) -> None:
    base(tmp_path)
    both = CombinedConfig(codec=NoneConfig(), token=TokenConfig(), kv=KVRandomConfig())
    half = {"decoder_tokens": 83, "mean_layer_tokens": 83.0, "vision_tokens_out": 72}
    held = cached(0.25, kv_full_bytes=9216 * 83)
    write_run(tmp_path, "both", ABOVE, both, **{**held, **half})
    token = {**half, "kv_cache_bytes": 9216 * 83}
    write_run(tmp_path, "token", BELOW, RandomPruneConfig(), **token)
    write_run(tmp_path, "cache", BELOW, KVRandomConfig(), **cached(0.25))
    found = {gate.budget: gate for gate in gates(compared(tmp_path))}
    assert set(found) == {"decoder tokens", "KV cache"}
    assert "against random_prune" in found["decoder tokens"].reason
    assert "against kv_random" in found["KV cache"].reason


def test_controls_are_missed_where_something_acts_at_their_stage(tmp_path: Path) -> None:
    base(tmp_path / "cache")
    write_run(tmp_path / "cache", "mine", BELOW, OursConfig(), **cached())
    assert absent(tmp_path / "cache") == KV
    write_run(tmp_path / "cache", "ctrl", BELOW, KVRandomConfig(), **cached())
    assert absent(tmp_path / "cache") == [name for name in KV if name != "kv_random"]
    write_run(
        tmp_path / "cache",
        "asks",
        BELOW,
        OursConfig(question=Question.seen),
        **cached(question="seen"),
    )
    assert "kv_random with question seen" in absent(tmp_path / "cache")
    base(tmp_path / "tokens")
    write_run(tmp_path / "tokens", "mine", BELOW, TokenConfig())
    assert absent(tmp_path / "tokens") == ELSEWHERE
    both = CombinedConfig(codec=NoneConfig(), token=TokenConfig(), kv=KVRandomConfig())
    write_run(tmp_path / "tokens", "both", BELOW, both, **cached())
    assert set(absent(tmp_path / "tokens")) == set(CONTROLS)


def test_who_saw_the_question_pushes_nobody_else_off_the_pareto_set(tmp_path: Path) -> None:
    base(tmp_path, 2)
    write_run(tmp_path, "mine", [0.5, 0.5], OursConfig(), **cached())
    write_run(
        tmp_path,
        "asks",
        [0.9, 0.9],
        OursConfig(question=Question.seen),
        **cached(0.4, question="seen"),
    )
    write_run(
        tmp_path, "worse", [0.8, 0.8], KVRandomConfig(question=Question.seen), **cached(0.4, "seen")
    )
    on = pareto_axes(compared(tmp_path))
    assert {name for name, axes in on.items() if "kv_cache_bytes" in axes} == {
        "base",
        "mine",
        "asks",
    }


def write_both_ways(outputs: Path, bits: int | None = None) -> None:
    base(outputs)
    later = {"later_score": 0.25}
    write_run(outputs, "mine", [0.25] * 40, OursConfig(bits=bits), **cached(0.5, **later))
    asks = OursConfig(question=Question.seen)
    seen = cached(0.25, question="seen", later_score=0.5)
    write_run(outputs, "asks", [1.0, 0.25] * 20, asks, **seen)


def test_what_seeing_the_question_is_worth_is_said(tmp_path: Path) -> None:
    write_both_ways(tmp_path)
    (said,) = [line for line in findings(compared(tmp_path)) if "seeing the question" in line]
    assert said.startswith(
        "ours: seeing the question before the cache is compressed is worth +0.375 ["
    )
    assert "at keep 0.5 on 40 samples" in said
    assert "from the second answer token on +0.250 [" in said
    assert "holding 25.0 % of the cache, unseen 50.0 %" in said
    # Half of 40 samples gain 0.75: one standard error of the mean is 0.06.
    low, high = (float(text) for text in said.split("[")[1].split("]")[0].split(","))
    assert 0.20 < low < 0.30
    assert 0.45 < high < 0.55


def test_other_options_or_another_budget_are_no_pair(tmp_path: Path) -> None:
    write_both_ways(tmp_path / "bits", bits=4)
    assert not any("seeing the question" in line for line in findings(compared(tmp_path / "bits")))
    base(tmp_path / "keep")
    write_run(tmp_path / "keep", "mine", BELOW, OursConfig(), keep_ratio=0.25, **cached())
    asks = OursConfig(question=Question.seen)
    write_run(tmp_path / "keep", "asks", ABOVE, asks, **cached(question="seen"))
    assert not any("seeing the question" in line for line in findings(compared(tmp_path / "keep")))


def test_a_question_that_no_version_knows_is_none(tmp_path: Path) -> None:
    base(tmp_path)
    write_run(tmp_path, "mine", ABOVE, OursConfig(), **cached(question="\x1b[2J"))
    (run,) = [row.run for row in compared(tmp_path).rows if not row.run.is_baseline]
    assert (run.question, run.method) == (None, "ours")
    assert findings(compared(tmp_path))
