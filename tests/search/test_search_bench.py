from __future__ import annotations

import numpy as np

from bench.search import SAMPLES, SEARCH, VALUES, judged, searched
from freqexp.results.intervals import LEVEL


def test_a_simulated_search_finds_the_value_where_losses_end() -> None:
    lost = np.zeros((VALUES, SAMPLES[-1]), dtype=bool)
    assert searched(lost, SEARCH.level)[0] == 0
    lost[:11] = True
    place, answered = searched(lost, SEARCH.level)
    assert place == 11
    assert answered < VALUES * SAMPLES[-1] / 4
    lost[:] = True
    assert searched(lost, SEARCH.level)[0] == VALUES


def test_the_level_of_a_look_is_stricter_than_95_percent() -> None:
    last = len(SAMPLES) - 1
    assert judged(SAMPLES[last], 5, LEVEL) == "non-inferior"
    assert judged(SAMPLES[last], 5, SEARCH.level(last)) == "undecided"
