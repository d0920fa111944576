from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from freqexp.results.intervals import Bounded, intervals
from freqexp.results.power import samples_for_loss, samples_for_non_inferiority

GENERATOR = np.random.default_rng(8)
Draw = Callable[[tuple[int, ...]], np.ndarray]


def changed(share: float) -> Draw:
    """Differences of which `share` are not zero, as often gains as losses of 0.3 to 1."""

    def draw(shape: tuple[int, ...]) -> np.ndarray:
        sizes = GENERATOR.uniform(0.3, 1, shape) * GENERATOR.choice([-1.0, 1.0], shape)
        return np.where(GENERATOR.random(shape) < share, sizes, 0.0)

    return draw


def of(values: np.ndarray) -> Bounded:
    return Bounded(values.tolist(), -1.0, 1.0)


@pytest.mark.parametrize(("share", "margin"), [(0.02, 0.02), (0.1, 0.04), (0.4, 0.08)])
def test_so_many_samples_call_an_equal_method_non_inferior(share: float, margin: float) -> None:
    """In about 80 % of 400 experiments, with the interval itself."""
    draw = changed(share)
    needed = samples_for_non_inferiority(of(draw((20_000,))), margin)
    lows = np.array(intervals([of(row) for row in draw((400, needed))]))[:, 0]
    assert 0.7 <= np.mean(lows > -margin) <= 0.9


@pytest.mark.parametrize("share", [0.02, 0.2])
def test_so_many_samples_see_a_loss(share: float) -> None:
    """A loss that falls on few samples whole, on top of what varied: seen in 75 to 95 %."""
    draw, loss = changed(share), 0.04
    needed = samples_for_loss(of(draw((20_000,))), loss)
    trials = draw((400, needed))
    hit = (GENERATOR.random(trials.shape) < loss / (1 - share)) & (trials == 0)
    highs = np.array(intervals([of(row) for row in np.where(hit, -1.0, trials)]))[:, 1]
    assert 0.75 <= np.mean(highs < 0) <= 0.95


def test_equal_answers_need_as_many_as_the_interval_leaves_room_for() -> None:
    equal = Bounded([0.0] * 64, -1.0, 0.0)
    needed = samples_for_non_inferiority(equal, 0.01)
    lows = [low for low, _ in intervals([Bounded([0.0] * n, -1.0, 0.0) for n in (needed, 300)])]
    assert lows[0] == pytest.approx(-0.01, abs=5e-4)
    assert lows[1] < lows[0]
    # Harm cannot be seen where no score could fall.
    assert samples_for_non_inferiority(Bounded([0.0, 0.0], 0.0, 1.0), 0.01) == 2


def test_more_is_needed_for_less() -> None:
    seen = of(changed(0.1)((500,)))
    for needed in (samples_for_loss, samples_for_non_inferiority):
        assert needed(seen, 0.01) > needed(seen, 0.02) > needed(seen, 0.1)
