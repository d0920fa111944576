"""Which code word is nearest to what stands at a place: matching by weighted DCT coefficients.

The difference is measured on the block DCT of a window, low frequencies counting more: strokes and
their places decide, not the noise of their edges.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from freqexp.codecs.block_vq.codebook import Word

Floats = npt.NDArray[np.float32]

EDGE = 48
"""Ink, of 255, from which a column counts as part of a stroke."""

_LEAD = 2
_OVERLAP = 2
_CANDIDATES = 16
_NEAR = 0.12
OWN_ROWS = 2
"""Rows from the baseline on that belong to the line alone; the next line may reach into others."""

_CORNER = 0.35


def band_weights(height: int, width: int) -> Floats:
    """Weight of each frequency of a height x width block, 1 at DC: [height, width] float32.

    Falls as 1 / (1 + (f / 0.35)^2), f in cycles a pixel: 0.5 is the finest a page can show.
    """
    down = np.arange(height)[:, np.newaxis] / (2 * height)
    across = np.arange(width)[np.newaxis] / (2 * width)
    weights = 1 / (1 + (down**2 + across**2) / _CORNER**2)
    return np.asarray(weights, dtype=np.float32)


def dct_matrix(size: int) -> Floats:
    """Orthonormal DCT-II, [size, size] float32."""
    frequency = np.arange(size)[:, np.newaxis]
    basis = np.cos(np.pi * (2 * np.arange(size) + 1) * frequency / (2 * size)) * np.sqrt(2 / size)
    basis[0] = np.sqrt(1 / size)
    return np.asarray(basis, dtype=np.float32)


def weighted_spectrum(blocks: Floats) -> Floats:
    """Weighted DCT of blocks [n, h, w]."""
    height, width = blocks.shape[1:]
    spectrum = dct_matrix(height) @ blocks @ dct_matrix(width).T
    return np.asarray(spectrum * band_weights(height, width))


def anchor(word: Word) -> int:
    """The first column of a code word that counts as a stroke."""
    dark = 17 * word.ink.max(axis=0) >= EDGE
    return int(np.argmax(dark)) if dark.any() else 0


class Matcher:
    """Finds code words in a plane of ink. Words may be added; they all stand on the baseline."""

    def __init__(self, words: Sequence[Word], tolerance: float) -> None:
        """tolerance: largest weighted error, as a share of the code word's weighted energy."""
        self.words = list(words)
        self._tolerance = tolerance
        self._build()

    def add(self, word: Word) -> None:
        """One more code word."""
        self.words.append(word)
        self._build()

    def _build(self) -> None:
        rows = [word.top for word in self.words]
        ends = [word.top + word.ink.shape[0] for word in self.words]
        self.above, self.below = -min(rows, default=0), max(ends, default=1)
        self._anchors = [anchor(word) for word in self.words]
        widths = [w.ink.shape[1] - a for w, a in zip(self.words, self._anchors, strict=True)]
        self.width = _LEAD + max(widths, default=1)
        shape = (len(self.words), self.above + self.below, self.width)
        self._ink = np.zeros(shape, dtype=np.float32)
        if not self.words:
            return
        self._solid = np.zeros((len(self.words), 1, self.width), dtype=np.bool_)
        for index, (word, first) in enumerate(zip(self.words, self._anchors, strict=True)):
            height, width = word.ink.shape
            cut = max(first - _LEAD, 0)
            left, top = _LEAD - first + cut, self.above + word.top
            self._ink[index, top : top + height, left : left + width - cut] = (
                17.0 * word.ink[:, cut:]
            )
            self._solid[index, 0, left : max(left + width - cut - _OVERLAP, _LEAD + 1)] = True
        count, size = len(self.words), shape[1] * shape[2]
        self._lowest = self.above + OWN_ROWS
        certain = np.where(self._solid, self._ink, 0)
        certain[:, self._lowest :] = 0
        self._flat = certain.reshape(count, size)
        self._certain = (self._flat**2).sum(axis=1) + 1
        self._columns = self._solid[:, 0].astype(np.float32)
        self._power = (self._ink**2).sum(axis=(1, 2))
        self._energy = (weighted_spectrum(self._ink) ** 2).sum(axis=(1, 2))

    def window(self, plane: Floats, column: int, baseline: int) -> Floats:
        """What stands around a place, paper outside the page: [above + below, width]."""
        height, width = plane.shape
        found = np.zeros((self.above + self.below, self.width), dtype=np.float32)
        top, left = baseline - self.above, column - _LEAD
        rows = slice(max(top, 0), max(min(baseline + self.below, height), 0))
        columns = slice(max(left, 0), min(left + self.width, width))
        part = plane[rows, columns]
        down, right = rows.start - top, columns.start - left
        found[down : down + part.shape[0], right : right + part.shape[1]] = part
        return found

    def best(self, plane: Floats, column: int, baseline: int) -> tuple[int, int, float] | None:
        """The code word whose first stroke is in `column`: its number, its left edge, and the ink
        energy it explains; None when none is near enough.
        """
        if not self.words:
            return None
        seen = np.maximum(self.window(plane, column, baseline), 0)
        # Squared error in the columns that no neighbour shares, as a share of the energy there.
        error = self._columns @ (seen[: self._lowest] ** 2).sum(axis=0)
        error -= 2 * (self._flat @ seen.ravel())
        share = 1 + error / self._certain
        near = np.flatnonzero(share <= _NEAR)
        if not near.size:
            return None
        worth = self._power[near] * (1 - share[near] / _NEAR)
        chosen = np.union1d(
            near[np.argsort(-worth, kind="stable")[:_CANDIDATES]],
            near[np.argsort(share[near], kind="stable")[:_CANDIDATES]],
        )
        difference = seen[np.newaxis] - self._ink[chosen]
        # The next code word may begin in the last columns of this one, the next line in its rows.
        shared = np.broadcast_to(~self._solid[chosen], difference.shape).copy()
        shared[:, self._lowest :] = True
        difference[shared & (difference > 0)] = 0
        error = (weighted_spectrum(difference) ** 2).sum(axis=(1, 2))
        good = error <= self._tolerance * self._energy[chosen]
        if not good.any():
            return None
        gain = np.where(good, self._energy[chosen] - 4 * error, -np.inf)
        found = int(chosen[np.argmax(gain)])
        return found, column - self._anchors[found], float(self._power[found])

    def stamp(self, plane: Floats, word: int, left: int, baseline: int, sign: float = -1) -> None:
        """Take a code word's ink out of a plane."""
        stamp(plane, self.words[word], left, baseline, sign)


def stamp(plane: Floats, word: Word, left: int, baseline: int, sign: float = 1) -> None:
    """Add `sign` times a code word's ink to a plane, what lies outside is cut off."""
    height, width = word.ink.shape
    top = baseline + word.top
    rows = slice(max(top, 0), min(top + height, plane.shape[0]))
    columns = slice(max(left, 0), min(left + width, plane.shape[1]))
    if rows.start < rows.stop and columns.start < columns.stop:
        part = word.ink[rows.start - top : rows.stop - top]
        part = part[:, columns.start - left : columns.stop - left]
        plane[rows, columns] += np.float32(17 * sign) * part
