from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from freqexp.results.stats import holm, permutation_p_value, verdict

GENERATOR = np.random.default_rng(5)
SCORES = [float(value) for value in GENERATOR.beta(0.5, 0.5, size=64)]
OTHERS = [float(value) for value in np.clip(GENERATOR.normal(SCORES, 0.2), 0, 1)]


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
    found = permutation_p_value(np.subtract(SCORES[:count], OTHERS[:count]).tolist())
    assert found == pytest.approx(reference, abs=1e-9 if count < 10 else 0.012)


def test_pairs_without_a_difference_do_not_change_the_permutation_test() -> None:
    differences = [0.5, 0.25, 0.5, -0.125]
    # Flipping the smallest sign or none, and the same mirrored: 4 of 16 sums reach 1.125 or more.
    assert permutation_p_value(differences) == 4 / 16
    assert permutation_p_value([*differences, *[0.0] * 200]) == 4 / 16
    assert permutation_p_value([0.0] * 5) == 1.0
    with pytest.raises(ValueError, match="at least 1"):
        permutation_p_value([])


def test_the_permutation_test_is_fair_when_nothing_differs() -> None:
    generator = np.random.default_rng(3)
    p_values = [permutation_p_value(generator.normal(size=60).tolist()) for _ in range(300)]
    assert 6 <= sum(p < 0.05 for p in p_values) <= 26


def test_holm_is_the_textbook_procedure() -> None:
    # Holm (1979) by hand: 0.01 x 4, 0.02 x 3, 0.03 x 2, max with the one before; 0.5 x 1.
    assert holm([0.02, None, 0.5, 0.01, 0.03]) == pytest.approx([0.06, None, 0.5, 0.04, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_non_inferiority_needs_the_whole_interval() -> None:
    assert verdict(-0.009, 0.02) == "non-inferior"
    assert verdict(-0.011, 0.02) == "undecided"
    assert verdict(-0.2, -0.011) == "inferior"
    assert verdict(-0.2, -0.011, margin=0.25) == "non-inferior"
    with pytest.raises(ValueError, match="margin"):
        verdict(0.0, 0.1, margin=0.0)


def test_the_order_of_the_pairs_does_not_matter() -> None:
    differences = np.subtract(SCORES, OTHERS).tolist()
    assert permutation_p_value(differences[::-1]) == permutation_p_value(differences)
