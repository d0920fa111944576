"""Evenly spaced gray levels: how many, and what is lost to them."""

from __future__ import annotations

import functools
import math

import numpy as np
import numpy.typing as npt

from freqexp.errors import ConfigError, fault
from freqexp.nouns.page import Pixels

_NEAR = 2


def levels_asked(keep_ratio: float, levels: int | None, *others: str) -> int:
    """`levels`, 2 to 256; None: 2^(8 keep_ratio), rounded and at least 2, so that keep_ratio is the
    share of the 8 bits of a sample.

    others: faults of other settings. Raises ConfigError naming all values out of range.
    """
    faults = []
    if not 0 < keep_ratio <= 1:
        faults.append(fault("keep_ratio", keep_ratio, "above 0, at most 1"))
    if levels is not None and not 2 <= levels <= 256:
        faults.append(fault("levels", levels, "an integer from 2 to 256"))
    faults += others
    if faults:
        raise ConfigError(faults)
    return max(2, math.floor(2 ** (8 * keep_ratio) + 0.5)) if levels is None else levels


def background(page: Pixels) -> int:
    """The most common value of a page [H, W]; the largest of several."""
    counts = np.bincount(page.reshape(-1), minlength=256)
    return int(255 - np.argmax(counts[::-1]))


@functools.cache
def values_of(levels: int) -> Pixels:
    """The values of so many levels from 0 to 255, uint8 [levels], rounded."""
    top = levels - 1
    return ((2 * 255 * np.arange(levels) + top) // (2 * top)).astype(np.uint8)


def numbers_of(levels: int) -> Pixels:
    """The number of the level that is nearest to each value, uint8 [256]."""
    top = levels - 1
    return ((2 * top * np.arange(256) + 255) // 510).astype(np.uint8)


def evenly(page: Pixels, levels: int) -> Pixels:
    """A page rounded to so many levels."""
    rounded: Pixels = values_of(levels)[numbers_of(levels)][page]
    return rounded


def grid_of(page: Pixels) -> int:
    """The smallest number of levels that has all values of a page: 2 to 256."""
    there = np.flatnonzero(np.bincount(page.reshape(-1), minlength=256)).astype(np.uint8)
    return next(n for n in range(2, 257) if np.array_equal(evenly(there, n), there))


def kept_in_sight(page: Pixels, levels: int, contrast: int) -> bool:
    """Whether nothing vanishes from a page [H, W] at so many levels: every pixel that differs from
    the ground by `contrast` or more has one within two pixels that still differs from it.
    """
    ground = background(page)
    numbers = numbers_of(levels)
    distance = np.abs(page.astype(np.int16) - ground)
    shown = near(numbers[page] != numbers[ground])
    return not bool(((distance >= contrast) & ~shown).any())


def near(flags: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Where on a page [H, W] a flag is set within two pixels."""
    from scipy.ndimage import maximum_filter

    found: npt.NDArray[np.bool_] = maximum_filter(flags.view(np.uint8), 2 * _NEAR + 1) > 0
    return found
