from __future__ import annotations

import time

import numpy as np
import pytest
import scipy.stats

from freqexp.results.stats import (
    bootstrap_intervals,
    bootstrap_mean_ci,
    holm,
    paired_bootstrap,
    permutation_p_value,
    rate_interval,
    samples_needed,
    verdict,
    with_unseen_harm,
)

GENERATOR = np.random.default_rng(5)
SCORES = [float(value) for value in GENERATOR.beta(0.5, 0.5, size=64)]
OTHERS = [float(value) for value in np.clip(GENERATOR.normal(SCORES, 0.2), 0, 1)]


def test_the_interval_agrees_with_scipy() -> None:
    reference = scipy.stats.bootstrap(
        (SCORES,), np.mean, n_resamples=50_000, method="percentile", rng=1
    ).confidence_interval
    assert bootstrap_mean_ci(SCORES, seed=0) == pytest.approx(reference, abs=0.004)


def test_the_paired_interval_and_p_value_agree_with_scipy() -> None:
    difference = np.subtract(SCORES, OTHERS)
    reference = scipy.stats.bootstrap(
        (difference,), np.mean, n_resamples=50_000, method="percentile", rng=1
    ).confidence_interval
    delta, low, high, p_value = paired_bootstrap(SCORES, OTHERS, seed=0)
    assert delta == pytest.approx(difference.mean())
    assert (low, high) == pytest.approx(reference, abs=0.003)
    assert p_value == pytest.approx(scipy.stats.ttest_1samp(difference, 0).pvalue, abs=0.02)


def test_the_p_value_is_fair_when_nothing_differs() -> None:
    """Under the null about a twentieth of the p values are below 0.05 (binomial, 200 trials)."""
    generator = np.random.default_rng(3)
    below = 0
    for seed in range(200):
        scores = generator.uniform(size=60)
        below += (
            paired_bootstrap(scores.tolist(), generator.uniform(size=60).tolist(), seed)[3] < 0.05
        )
    assert 2 <= below <= 21


def test_equal_scores_differ_by_nothing() -> None:
    assert paired_bootstrap(SCORES, SCORES, seed=0) == (0.0, 0.0, 0.0, 1.0)


def test_a_constant_shift_is_as_sure_as_the_resamples_allow() -> None:
    scores = [0.25, 0.5, 0.125, 0.5]
    delta, low, high, p_value = paired_bootstrap([s + 0.25 for s in scores], scores, seed=0)
    assert (delta, low, high) == (0.25, 0.25, 0.25)
    assert p_value == 1 / 10_001


def test_the_seed_decides_everything() -> None:
    assert (
        bootstrap_mean_ci(SCORES, 1) == bootstrap_mean_ci(SCORES, 1) != bootstrap_mean_ci(SCORES, 2)
    )


@pytest.mark.parametrize("count", [0, 1])
def test_one_sample_has_no_interval(count: int) -> None:
    with pytest.raises(ValueError, match="at least 2"):
        bootstrap_mean_ci([0.5] * count, seed=0)
    with pytest.raises(ValueError, match="at least 2"):
        paired_bootstrap([0.5] * count, [0.5] * count, seed=0)


def test_pairs_need_partners() -> None:
    with pytest.raises(ValueError, match="3 and 2"):
        paired_bootstrap([0.5] * 3, [0.5] * 2, seed=0)


def test_many_lists_have_the_intervals_of_each() -> None:
    lists = [SCORES, OTHERS, SCORES[:20], OTHERS[:2]]
    for found, values in zip(bootstrap_intervals(lists, seed=4), lists, strict=True):
        assert found == pytest.approx(bootstrap_mean_ci(values, seed=4), abs=1e-12)
    with pytest.raises(ValueError, match="at least 2"):
        bootstrap_intervals([SCORES, [0.5]], seed=4)


def test_intervals_cover_at_the_nominal_rate() -> None:
    """MRCR-like paired differences: most are zero, some are large. 95 % +- 2 of 1,500 intervals."""
    generator = np.random.default_rng(11)
    shape = (1_500, 250)
    changed = generator.uniform(size=shape) < 0.3
    differences = np.where(changed, generator.beta(0.6, 0.8, size=shape) * 1.6 - 0.9, 0.0)
    truth = 0.3 * (0.6 / 1.4 * 1.6 - 0.9)
    intervals = np.array(bootstrap_intervals(differences.tolist(), seed=0))
    covered = np.mean((intervals[:, 0] <= truth) & (truth <= intervals[:, 1]))
    assert 0.93 <= covered <= 0.97


@pytest.mark.parametrize("count", [3, 9, 64])
def test_the_permutation_test_agrees_with_scipy(count: int) -> None:
    reference = scipy.stats.permutation_test(
        (SCORES[:count], OTHERS[:count]),
        lambda x, y, axis: np.mean(x - y, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=50_000,
        rng=np.random.default_rng(1),
    ).pvalue
    found = permutation_p_value(np.subtract(SCORES[:count], OTHERS[:count]).tolist(), seed=0)
    assert found == pytest.approx(reference, abs=1e-9 if count < 10 else 0.012)


def test_pairs_without_a_difference_do_not_change_the_permutation_test() -> None:
    differences = [0.5, 0.25, 0.5, -0.125]
    # Flipping the smallest sign or none, and the same mirrored: 4 of 16 sums reach 1.125 or more.
    assert permutation_p_value(differences, seed=0) == 4 / 16
    assert permutation_p_value([*differences, *[0.0] * 200], seed=0) == 4 / 16
    assert permutation_p_value([0.0] * 5, seed=0) == 1.0
    with pytest.raises(ValueError, match="at least 1"):
        permutation_p_value([], seed=0)


def test_the_permutation_test_is_fair_when_nothing_differs() -> None:
    generator = np.random.default_rng(3)
    p_values = [
        permutation_p_value(generator.normal(size=60).tolist(), seed) for seed in range(300)
    ]
    assert 6 <= sum(p < 0.05 for p in p_values) <= 26


def test_holm_is_the_textbook_procedure() -> None:
    # Holm (1979) by hand: 0.01 x 4, 0.02 x 3, 0.03 x 2, max with the one before; 0.5 x 1.
    assert holm([0.02, None, 0.5, 0.01, 0.03]) == pytest.approx([0.06, None, 0.5, 0.04, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_no_harm_seen_is_not_no_harm() -> None:
    """Close to Clopper and Pearson's bound for no event in 64; more samples, less room."""
    exact = scipy.stats.binomtest(0, 64).proportion_ci(0.95, "exact").high
    lists = [with_unseen_harm([0.0] * n) for n in (64, 2_000)]
    (low, _), (lower_limit, _) = bootstrap_intervals(lists, seed=0)
    assert -exact <= low <= -0.7 * exact
    assert -0.003 < lower_limit < 0


@pytest.mark.parametrize("harmed", [0.004, 0.012, 0.05])
def test_the_lower_end_is_safe_for_rare_harm(harmed: float) -> None:
    """Of 800 experiments at most 2.5 % (+ 2) find the true difference below the lower end."""
    generator = np.random.default_rng(2)
    trials = -(generator.uniform(size=(800, 250)) < harmed).astype(float)
    lows = np.array(bootstrap_intervals([with_unseen_harm(list(t)) for t in trials], seed=0))[:, 0]
    assert np.mean(lows > -harmed) <= 0.045


def test_non_inferiority_needs_the_whole_interval() -> None:
    assert verdict(-0.009, 0.02) == "non-inferior"
    assert verdict(-0.011, 0.02) == "undecided"
    assert verdict(-0.2, -0.011) == "inferior"
    assert verdict(-0.2, -0.011, margin=0.25) == "non-inferior"
    with pytest.raises(ValueError, match="margin"):
        verdict(0.0, 0.1, margin=0.0)


def test_the_samples_needed_give_the_power_promised() -> None:
    """Independent check by simulation: with so many samples 80 % of t tests see the effect."""
    generator = np.random.default_rng(8)
    pilot = generator.normal(0.0, 0.3, size=4_000)
    count = samples_needed(pilot.tolist(), effect=0.05)
    assert count is not None
    trials = generator.normal(0.05, 0.3, size=(2_000, count))
    seen = np.mean(scipy.stats.ttest_1samp(trials, 0, axis=1).pvalue < 0.05)
    assert seen == pytest.approx(0.8, abs=0.04)
    assert samples_needed([0.25] * 9) is None
    assert samples_needed([0.25]) is None


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
    bootstrap_intervals(lists, seed=0)
    assert time.perf_counter() - start < 5
