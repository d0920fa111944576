from __future__ import annotations

import time

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from bench.coverage import REGIMES, covered, percentile
from freqexp.results.intervals import (
    BEYOND,
    WITHIN,
    Bounded,
    changes,
    interval,
    intervals,
    measures,
    rate_interval,
    scores,
)

GENERATOR = np.random.default_rng(5)
SCORES = [float(value) for value in GENERATOR.beta(0.5, 0.5, size=64)]
OTHERS = [float(value) for value in np.clip(GENERATOR.normal(SCORES, 0.2), 0, 1)]
SHARES = st.floats(0, 1, allow_subnormal=False)


@pytest.mark.parametrize("right", [1, 5, 60])
def test_of_right_and_wrong_it_is_the_interval_of_a_beta(right: int) -> None:
    wrong = 64 - right
    low = scipy.stats.beta.ppf(0.025, right + WITHIN, wrong + BEYOND)
    high = scipy.stats.beta.ppf(0.975, right + BEYOND, wrong + WITHIN)
    found = interval(scores([1.0] * right + [0.0] * wrong))
    assert found == pytest.approx((low, high), abs=0.004)


def test_of_ordinary_scores_it_agrees_with_the_t_interval() -> None:
    reference = scipy.stats.t.interval(0.95, 63, np.mean(SCORES), scipy.stats.sem(SCORES))
    assert interval(scores(SCORES)) == pytest.approx(reference, abs=0.01)
    differences = np.subtract(SCORES, OTHERS)
    reference = scipy.stats.t.interval(0.95, 63, np.mean(differences), scipy.stats.sem(differences))
    assert interval(changes(SCORES, OTHERS)) == pytest.approx(reference, abs=0.01)


@pytest.mark.parametrize("name", [name for name, regime in REGIMES.items() if regime.promised])
def test_it_covers_where_most_samples_score_alike(name: str) -> None:
    """Of 2,000 experiments each; 97.3 is what whole samples allow (see the bench, which does it for
    30 and 252 samples, too).
    """
    assert 0.93 <= covered(REGIMES[name], 64, simulations=2_000) <= 0.975


def test_the_simulation_can_fail() -> None:
    name = "1% harmed, they lose 0.5 to 1"
    assert covered(REGIMES[name], 64, simulations=1_200, method=percentile) < 0.5
    assert 0.93 <= covered(REGIMES[name], 252, simulations=1_200) <= 0.975


def test_equal_answers_leave_room_for_what_was_not_seen() -> None:
    low, high = interval(changes([1.0] * 64, [1.0] * 64))
    # Nothing can be gained on perfect scores; of losses as much is possible as a beta allows.
    assert (low, high) == (pytest.approx(-0.051, abs=0.003), 0.0)
    low, high = interval(changes([0.5] * 64, [0.5] * 64))
    assert low == pytest.approx(-0.0255, abs=0.003)
    assert high == pytest.approx(0.0255, abs=0.003)
    assert interval(scores([1.0] * 64))[0] < 0.955
    assert interval(scores([0.25] * 64)) == pytest.approx((0.237, 0.288), abs=0.004)


@given(st.lists(SHARES, min_size=2, max_size=12))
def test_it_holds_the_mean_and_stays_where_scores_are(values: list[float]) -> None:
    low, high = interval(scores(values))
    assert 0 <= low <= np.mean(values) + 1e-12
    assert np.mean(values) - 1e-12 <= high <= 1
    assert low < high


def test_it_depends_on_the_values_alone() -> None:
    backwards = SCORES[::-1]
    alone = interval(scores(SCORES))
    assert interval(scores(backwards)) == alone
    lists = [scores(OTHERS[:20]), scores(SCORES), scores(OTHERS), changes(SCORES, OTHERS)]
    assert intervals(lists) == [pytest.approx(interval(each), abs=1e-12) for each in lists]


def test_sizes_are_bounded_by_what_was_seen() -> None:
    assert interval(measures([400.0, 400.0, 400.0])) == pytest.approx((400.0, 400.0))
    low, high = interval(measures([1e6, 2e6, 3e6]))
    assert 1e6 <= low < 2e6 < high <= 3e6


@pytest.mark.parametrize("count", [0, 1])
def test_one_sample_has_no_interval(count: int) -> None:
    with pytest.raises(ValueError, match="at least 2"):
        interval(scores([0.5] * count))


def test_bad_values_are_refused() -> None:
    with pytest.raises(ValueError, match="outside"):
        interval(scores([0.5, 1.5]))
    with pytest.raises(ValueError, match="outside"):
        interval(Bounded([float("nan"), 0.0], -1, 1))
    with pytest.raises(ValueError, match="3 and 2"):
        changes([0.5] * 3, [0.5] * 2)


@pytest.mark.parametrize(("hits", "n"), [(0, 64), (3, 64), (64, 64), (1, 1)])
def test_the_rate_interval_is_wilsons(hits: int, n: int) -> None:
    reference = scipy.stats.binomtest(hits, n).proportion_ci(0.95, "wilson")
    assert rate_interval(hits, n) == pytest.approx((reference.low, reference.high), abs=1e-12)


def test_a_rate_is_of_something() -> None:
    with pytest.raises(ValueError, match="2 hits of 1"):
        rate_interval(2, 1)


def test_a_hundred_runs_of_250_samples_take_seconds() -> None:
    lists = np.random.default_rng(0).uniform(size=(100, 250)).tolist()
    start = time.perf_counter()
    intervals([scores(values) for values in lists])
    assert time.perf_counter() - start < 5
