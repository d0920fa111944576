"""Mutated bitstreams of every codec: a page or a BitstreamError, nothing else."""

from __future__ import annotations

import pytest

from bench.fuzz import fuzz, seeds


def test_damaged_bitstreams() -> None:
    outcome = fuzz(seeds(), 20_000, seed=1, repaired=0)
    assert not outcome.failures
    # The checksum and the structure let no damage through.
    assert outcome.counts == {"bitstream": 20_000}


def test_hostile_bitstreams() -> None:
    outcome = fuzz(seeds(), 1_500, seed=2, repaired=1)
    assert not outcome.failures
    assert outcome.counts["a page"] > 0
    assert outcome.slowest_ms < 20_000


@pytest.mark.slow
def test_a_hundred_thousand_mutations() -> None:
    assert not fuzz(seeds(), 100_000, seed=3, repaired=0.1).failures
