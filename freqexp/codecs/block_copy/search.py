"""Where on a page blocks look like others before them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from freqexp.codecs.block_copy.copies import BLOCK, REACH
from freqexp.codecs.block_copy.rebuild import Place
from freqexp.coding.integer_dct import basis_of

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

SOURCES = 8
"""Offered for a block, at most."""

_FREQUENCIES = ((0, 0), (0, 1), (1, 0), (1, 1), (0, 2), (2, 0), (1, 2), (2, 1), (0, 3), (3, 0))
"""A place's lowest DCT coefficients, down and across, in which places are compared at first."""

_NEAREST, _FIRST = 100, 16
_APPROXIMATE = 1.0
_MOST_PLACES = 1 << 19
MOST_ALIKE = 256
_MIX = np.uint64(6364136223846793005)
_AT_ONCE = 1 << 14


def sources_of(page: npt.NDArray[np.int16], contrast: float) -> Mapping[Place, Sequence[Place]]:
    """For each block of a page [H, W] whose standard deviation is `contrast` or more, by its first
    row and column, the places that look most like it, the best first: places whose pixels all come
    before it, at most SOURCES, maybe none.
    """
    from scipy.spatial import cKDTree

    values = page.astype(np.float64)
    lively = _variances(values) >= contrast**2
    places = np.argwhere(lively)
    if not len(places):
        return {}
    places = places[:: -(-len(places) // _MOST_PLACES)]
    blocks = BLOCK * np.argwhere(lively[::BLOCK, ::BLOCK])
    both = tuple(np.concatenate([places, blocks]).T)
    features = np.stack([one[both] for one in _coefficients(values)], axis=1)
    wanted = features[len(places) :]
    chosen = not_too_often(features[: len(places)], places[:, 0] // (REACH // 2))
    places, features = places[chosen], features[: len(places)][chosen]
    tree = cKDTree(features, leafsize=24, balanced_tree=False, compact_nodes=False)
    found: dict[Place, Sequence[Place]] = {}
    patches = sliding_window_view(page, (BLOCK, BLOCK))
    for start in range(0, len(blocks), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        count = min(_NEAREST, len(places))
        _, near = tree.query(wanted[part], k=count, eps=_APPROXIMATE)
        found |= _best(patches, blocks[part], places, near.reshape(-1, count))
    return found


def not_too_often(features: Floats, parts: Indices) -> Indices:
    """Which places to keep, in their order: of those with the same coefficients in the same part of
    the page the first MOST_ALIKE, as a tree can't tell them apart: on a page of stripes every
    query would go through all of them.
    """
    mixed = parts.astype(np.uint64)
    for one in features.T:
        # Coefficients are integers. Two that happen to mix to the same number cost a place.
        mixed = mixed * _MIX + one.astype(np.int64).astype(np.uint64)
    order = np.argsort(mixed, kind="stable")
    first = np.flatnonzero(np.append(True, np.diff(mixed[order]) != 0))
    lengths = np.diff(np.append(first, len(order)))
    rank = np.arange(len(order)) - np.repeat(first, lengths)
    kept: Indices = np.sort(order[rank < MOST_ALIKE])
    return kept


def _variances(page: Floats) -> Floats:
    """Of the pixels from each place on, a block."""
    size = BLOCK * BLOCK
    return _sums(page**2) / size - (_sums(page) / size) ** 2


def _sums(page: Floats) -> Floats:
    total = np.pad(page, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    first, last = slice(None, -BLOCK), slice(BLOCK, None)
    found: Floats = (
        total[last, last] - total[first, last] - total[last, first] + total[first, first]
    )
    return found


def _coefficients(page: Floats) -> Iterator[Floats]:
    """For each of _FREQUENCIES its coefficient of the block from each place on. All numbers are
    integers that float64 holds, so that places come out alike on every machine.
    """
    from scipy.ndimage import correlate1d

    basis = basis_of(BLOCK)
    height, width = (side - BLOCK + 1 for side in page.shape)
    half = BLOCK // 2
    across = {
        v: correlate1d(page, basis[v], axis=1)[:, half : half + width]
        for v in sorted({v for _, v in _FREQUENCIES})
    }
    for u, v in _FREQUENCIES:
        yield correlate1d(across[v], basis[u], axis=0)[half : half + height]


def _best(
    patches: npt.NDArray[np.int16], blocks: Indices, places: Indices, near: Indices
) -> dict[Place, Sequence[Place]]:
    """Of the `near` places [blocks, n], nearest first, those before each block, by their pixels."""
    rows, columns = places[near, 0], places[near, 1]
    row, column = blocks[:, :1], blocks[:, 1:]
    before = (rows + BLOCK <= row) | ((rows <= row) & (columns + BLOCK <= column))
    before &= row - rows < REACH
    # The first of those before the block, in their order.
    chosen = np.argsort(~before, axis=1, kind="stable")[:, :_FIRST]
    index = np.arange(len(blocks))[:, np.newaxis]
    rows, columns, before = rows[index, chosen], columns[index, chosen], before[index, chosen]
    wanted = patches[blocks[:, 0], blocks[:, 1]].astype(np.int32)
    far = np.empty(rows.shape, dtype=np.int64)
    for n in range(rows.shape[1]):
        far[:, n] = ((patches[rows[:, n], columns[:, n]] - wanted) ** 2).sum(axis=(1, 2))
    far[~before] = np.iinfo(np.int64).max
    order = np.argsort(far, axis=1, kind="stable")[:, :SOURCES]
    return {
        (int(r), int(c)): [(int(rows[n, k]), int(columns[n, k])) for k in order[n] if before[n, k]]
        for n, (r, c) in enumerate(blocks)
    }
