"""Where text lines are on a page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Flags = npt.NDArray[np.bool_]

MOST_PITCH = 512
_LEAST_PITCH = 4
_ALIKE = 0.3
_AS_GOOD = 0.6


def runs(flags: Flags) -> list[tuple[int, int]]:
    """First index and end of each run of True."""
    edges = np.flatnonzero(np.diff(flags.astype(np.int8), prepend=0, append=0))
    return [(int(first), int(end)) for first, end in edges.reshape(-1, 2)]


def pitch_of(shown: Flags) -> int | None:
    """Rows from one text line of a page [H, W] to the next, at most MOST_PITCH; None where nothing
    repeats.

    It is the most common distance between the tops of two runs of rows that show anything, unless
    that is less than most runs are high, or the shown pixels of a row repeat after fewer rows:
    lines that touch are one run.
    """
    bands = runs(np.asarray(shown.any(axis=1)))
    found = [pitch for pitch in (_between(bands), _repeat(shown.sum(axis=1))) if pitch]
    return min(found, default=None)


def _between(bands: Sequence[tuple[int, int]]) -> int | None:
    """By the tops of runs of rows."""
    tops = [top for top, _ in bands]
    pitches = Counter(int(rows) for rows in np.diff(tops) if rows <= MOST_PITCH)
    if not pitches:
        return None
    pitch = min(pitches, key=lambda rows: (-pitches[rows], rows))
    high = float(np.median([end - top for top, end in bands]))
    return pitch if pitch >= high else None


def _repeat(ink: npt.NDArray[np.int64]) -> int | None:
    """By the correlation of a page's rows with those some rows further down: the first lag at which
    it peaks nearly as high as anywhere.
    """
    rows = len(ink)
    lags = np.arange(1, min(rows // 2, MOST_PITCH + 2))
    spectrum = np.fft.rfft(ink - ink.mean(), 2 * rows)
    products = np.fft.irfft(spectrum * spectrum.conj())[: len(lags) + 1]
    if len(lags) < _LEAST_PITCH or products[0] <= 0:
        return None
    alike = products[lags] / products[0] * rows / (rows - lags)
    inner = alike[1:-1]
    peaks = (inner >= alike[:-2]) & (inner >= alike[2:]) & (lags[1:-1] >= _LEAST_PITCH)
    highest = inner[peaks].max(initial=0.0)
    if highest < _ALIKE:
        return None
    return int(lags[1:-1][peaks & (inner >= _AS_GOOD * highest)][0])
