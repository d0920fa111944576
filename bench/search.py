"""How often a search claims a budget that is inferior, simulated where curves lie near the margin.

    python -m bench.search                   # all curves, 2,000 searches each
    python -m bench.search --simulations 200

The baseline scores 1 throughout; a probe loses all of a share of its samples, which the curve gives
by its place among 19 values. Beside the search stands the same one with a 95 % interval at each
look of each probe.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from freqexp.results.intervals import LEVEL, changes, interval
from freqexp.results.stats import verdict
from freqexp.search.plan import Plan

MARGIN = 0.05
SAMPLES = (32, 64, 128, 256)
VALUES = 19
SEARCH = Plan("keep_ratio", MARGIN, tuple((n + 1) / VALUES for n in range(VALUES)), SAMPLES)

Curve = npt.NDArray[np.float64]
"""True losses [VALUES] by the place of a value, falling."""

_PLACES = np.arange(VALUES)
CURVES: dict[str, Curve] = {
    "flat at the margin": np.full(VALUES, MARGIN),
    "flat above the margin (0.06)": np.full(VALUES, 0.06),
    "slow, from 0.09 to 0": np.linspace(0.09, 0.0, VALUES),
    "steep, from 0.6 to 0 at the ninth": np.clip(0.6 * (1 - _PLACES / 8), 0, 1),
    "a step, from 0.3 to 0 at the ninth": np.where(_PLACES < 8, 0.3, 0.0),
}


@functools.cache
def judged(samples: int, lost: int, level: float) -> str:
    """The verdict where so many of the samples lost all and the others nothing."""
    ours = [0.0] * lost + [1.0] * (samples - lost)
    return verdict(*interval(changes(ours, [1.0] * samples), level), MARGIN)


def searched(lost: npt.NDArray[np.bool_], level: Callable[[int], float]) -> tuple[int, int]:
    """One search over samples [VALUES, SAMPLES[-1]] that were lost. Gives the place of its answer
    (`VALUES`: none) and how many samples its probes answered.
    """
    low, high, answered = 0, VALUES, 0
    while low < high:
        middle, said = (low + high) // 2, "undecided"
        for look, samples in enumerate(SAMPLES):
            said = judged(samples, int(lost[middle, :samples].sum()), level(look))
            if said != "undecided":
                break
        answered += samples
        low, high = (low, middle) if said == "non-inferior" else (middle + 1, high)
    return low, answered


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description="Simulated errors of a search.")
    parser.add_argument("--simulations", type=int, default=2_000)
    count = parser.parse_args().simulations
    print(
        f"{count} searches among {VALUES} values, margin {MARGIN:g}, looks at "
        f"{', '.join(map(str, SAMPLES))} samples.\nIn percent, in brackets with 95 % at each look: "
        "claims of a value that loses the margin or more,\nand answers; samples answered, of "
        f"{VALUES * SAMPLES[-1]} of a sweep."
    )
    print(f"{'':<36}{'false claims':>16}{'answers':>16}{'samples':>14}")
    for name, curve in CURVES.items():
        # Samples that are hard are lost first, whatever the budget.
        generator = np.random.default_rng(0)
        false, found, answered = np.zeros(2), np.zeros(2), np.zeros(2)
        for _ in range(count):
            lost = generator.random(SAMPLES[-1])[np.newaxis] < curve[:, np.newaxis]
            if name.startswith("flat"):
                # Nothing is the same from probe to probe: the worst for claims.
                lost = generator.random((VALUES, SAMPLES[-1])) < curve[:, np.newaxis]
            for which, level in enumerate((SEARCH.level, lambda look: LEVEL)):
                place, samples = searched(lost, level)
                found[which] += place < VALUES
                false[which] += place < VALUES and curve[place] >= MARGIN
                answered[which] += samples
        shares = [f"{100 * a / count:.1f} ({100 * b / count:.1f})" for a, b in (false, found)]
        means = f"{answered[0] / count:.0f} ({answered[1] / count:.0f})"
        print(f"{name:<36}{shares[0]:>16}{shares[1]:>16}{means:>14}")


if __name__ == "__main__":
    main()
