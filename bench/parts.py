"""How often an unrelated reply passes for a copy, and what taking a score apart takes.

    python -m bench.parts [--samples 300]

Replies of other generated conversations are compared with a conversation's turns at two limits of
`freqexp.benchmarks.parts`; then one long conversation is graded.
"""

from __future__ import annotations

import argparse
import itertools
import time

from freqexp.benchmarks import parts
from freqexp.benchmarks.generate import generate
from freqexp.benchmarks.mrcr import chance

LIMITS = (0.5, 0.6)
LONG_CHARS = 1_000_000


def main() -> None:
    """Print both."""
    parser = argparse.ArgumentParser(description="False copies, and the time of parts.")
    parser.add_argument("--samples", type=int, default=300)
    samples = parser.parse_args().samples
    if samples < 2:
        parser.error("--samples: allowed: 2 or more")
    for needles in (2, 8):
        rates = ", ".join(
            f"{100 * false_copies(needles, samples, limit):.2f} % at {limit:g}" for limit in LIMITS
        )
        print(f"replies of other conversations taken for a copy, {needles} needles: {rates}")
    (sample,) = generate(8, 1, 0, "long", target_chars=LONG_CHARS)
    answer = sample.prefix + sample.turns[0].assistant
    started = time.perf_counter()
    parts.parts(answer, sample, 0.5)
    taken = time.perf_counter()
    chance(sample)
    ended = time.perf_counter()
    print(f"{LONG_CHARS:,} characters, {len(sample.turns)} turns:", end=" ")
    print(f"parts {1000 * (taken - started):.0f} ms, chance {1000 * (ended - taken):.0f} ms")


def false_copies(needles: int, samples: int, limit: float) -> float:
    """Share of the replies of other conversations that one of a conversation's turns is like."""
    made = generate(needles, samples, 0, "short")
    alike, parts.ALIKE = parts.ALIKE, limit
    try:
        found = [
            parts.copied_turn(turn.assistant, one.answer.removeprefix(one.prefix), one.turns)
            for one, other in itertools.pairwise(made)
            for turn in other.turns
        ]
    finally:
        parts.ALIKE = alike
    return sum(index is not None for index in found) / len(found)


if __name__ == "__main__":
    main()
