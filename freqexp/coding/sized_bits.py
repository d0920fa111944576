"""Bits of numbers whose lengths are known, and what the numbers themselves need beside them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

LENGTHS = 18
SIZE_OF_LENGTH = np.array([0, *(1 << length for length in range(LENGTHS - 1))], dtype=np.int32)
Lengths = npt.NDArray[np.uint8]
Integers = npt.NDArray[np.int64]


class SizedBits:
    """Where the values of each bit length are, and how they are taken apart.

    places: of all that are not 0. order: the same, sorted by length. with_second: lengths of those
    that have a second bit, in this order. counts, rest_bits: how many values each length has, and
    how many bits of each are neither its first nor its second.
    """

    rest_bits = tuple(max(length - 2, 0) for length in range(LENGTHS))

    def __init__(self, lengths: Lengths) -> None:
        self.places = np.flatnonzero(lengths)
        found = lengths[self.places]
        self.order = self.places[np.argsort(found, kind="stable")]
        self.counts: tuple[int, ...] = tuple(np.bincount(found, minlength=LENGTHS).tolist())
        self.with_second = np.repeat(np.arange(2, LENGTHS), self.counts[2:])

    def split(self, values: Integers) -> tuple[npt.NDArray[np.bool_], list[Integers]]:
        """Second bits of all values that have one, and the rest of each length's values."""
        groups = np.split(values[self.order], np.cumsum(self.counts)[:-1])
        second = [found >> (length - 2) & 1 for length, found in enumerate(groups) if length > 1]
        rest = [found & (1 << bits) - 1 for found, bits in zip(groups, self.rest_bits, strict=True)]
        return np.concatenate(second).astype(np.bool_), rest

    def join(self, second: npt.NDArray[np.bool_], rest: list[Integers]) -> Integers:
        """Inverse of `split`: the values in `order`."""
        seconds = np.split(second.astype(np.int64), np.cumsum(self.counts[2:])[:-1])
        ones = [np.ones(self.counts[1], dtype=np.int64)]
        longer = [
            (2 + bit) << (length - 2) | rest[length] for length, bit in enumerate(seconds, start=2)
        ]
        return np.concatenate(ones + longer)


def excess_of(signed: Integers) -> tuple[int, Integers]:
    """The smallest kept magnitude, and by how much the kept ones reach it, 1 and up; DCs whole."""
    excess = np.abs(signed)
    others = excess.reshape(signed.shape[0] ** 2, -1)[1:]
    smallest = int(others.min(where=others > 0, initial=1 << 30))
    if smallest == 1 << 30:
        return 1, excess
    others -= (smallest - 1) * (others > 0)
    return smallest, excess


def bit_length(values: npt.NDArray[np.int64] | npt.NDArray[np.int32]) -> Lengths:
    """Bits of each value below 2^24."""
    return np.frexp(values.astype(np.float32))[1].astype(np.uint8)
