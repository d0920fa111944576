"""Evenly spaced gray levels, and what is lost to them."""

from __future__ import annotations

import functools

import numpy as np

from freqexp.codecs.symbols.segment import background
from freqexp.nouns.page import Pixels

_NEAR = 2


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
    return values_of(levels)[numbers_of(levels)][page]


def grid_of(page: Pixels) -> int:
    """The smallest number of levels that has all values of a page: 2 to 256."""
    there = np.flatnonzero(np.bincount(page.reshape(-1), minlength=256)).astype(np.uint8)
    return next(n for n in range(2, 257) if np.array_equal(evenly(there, n), there))


def kept_in_sight(page: Pixels, levels: int, contrast: int) -> bool:
    """Whether nothing vanishes from a page [H, W] at so many levels: every pixel that differs from
    the ground by `contrast` or more has one within two pixels that still differs from it.
    """
    from scipy.ndimage import maximum_filter

    ground = background(page)
    numbers = numbers_of(levels)
    distance = np.abs(page.astype(np.int16) - ground)
    shown = numbers[page] != numbers[ground]
    near = maximum_filter(shown.view(np.uint8), 2 * _NEAR + 1)
    return not bool(((distance >= contrast) & (near == 0)).any())
