"""Code words from letters: k-means centroids, and where the pen stands in each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from freqexp.codecs.block_vq.codebook import FIRST, SPACE
from freqexp.codecs.block_vq.match import band_weights, dct_matrix
from freqexp.train.letters import INK, Block, Drawn, Floats


def k_means(
    blocks: Sequence[Block], count: int, rounds: int = 12
) -> tuple[list[tuple[Floats, int]], npt.NDArray[np.int64]]:
    """At most `count` centroids (ink, top) of blocks in the weighted DCT domain, and the centroid
    of each block.

    Equal blocks count once with their number; the start is farthest-first, from the commonest on.
    """
    keys = [(block.top, block.ink.shape, block.ink.tobytes()) for block in blocks]
    seen = Counter(keys)
    distinct = {key: index for index, key in enumerate(seen)}
    first = {key: block for key, block in zip(reversed(keys), reversed(blocks), strict=True)}
    above = -min(block.top for block in blocks)
    height = above + max(block.top + block.ink.shape[0] for block in blocks)
    width = max(block.ink.shape[1] for block in blocks)
    pictures = np.zeros((len(distinct), height, width))
    for key, index in distinct.items():
        block = first[key]
        top = above + block.top
        pictures[index, top : top + block.ink.shape[0], : block.ink.shape[1]] = block.ink
    down, across = dct_matrix(height).astype(np.float64), dct_matrix(width).astype(np.float64)
    weights = band_weights(height, width).astype(np.float64)
    points = ((down @ pictures @ across.T) * weights).reshape(len(distinct), -1)
    mass = np.array([seen[key] for key in distinct], dtype=np.float64)
    centres, nearest = _lloyd(points, mass, count, rounds)
    restored = down.T @ (centres.reshape(-1, height, width) / weights) @ across
    found = [(np.where(ink < INK / 2, 0, ink), -above) for ink in restored]
    member = np.array([nearest[distinct[key]] for key in keys], dtype=np.int64)
    return found, member


def _lloyd(
    points: Floats, mass: Floats, count: int, rounds: int
) -> tuple[Floats, npt.NDArray[np.int64]]:
    chosen = [int(np.argmax(mass))]
    # Squared distance times the root of how often: rare shapes get a code word, noise does not.
    distance = ((points - points[chosen[0]]) ** 2).sum(axis=1)
    while len(chosen) < min(count, len(points)) and distance.max() > 0:
        chosen.append(int(np.argmax(distance * np.sqrt(mass))))
        distance = np.minimum(distance, ((points - points[chosen[-1]]) ** 2).sum(axis=1))
    centres = points[chosen]
    power = (points**2).sum(axis=1)
    nearest = np.zeros(len(points), dtype=np.int64)
    for _ in range(rounds):
        gaps = power[:, np.newaxis] - 2 * points @ centres.T + (centres**2).sum(axis=1)
        found = gaps.argmin(axis=1)
        if np.array_equal(found, nearest):
            break
        nearest = found
        for index in range(len(centres)):
            inside = nearest == index
            if inside.any():
                share = mass[inside] / mass[inside].sum()
                centres[index] = share @ points[inside]
    return centres, nearest


def pens(
    drawn: Drawn, member: npt.NDArray[np.int64], kinds: dict[str, int]
) -> tuple[Floats, Floats]:
    """Where the pen stands in each code word and how far each class moves it, in pixels.

    Least squares of x' + origin' - x - origin = advance + spaces * advance of a space.
    """
    words, classes = int(member.max()) + 1, FIRST + len(kinds)
    size = words + classes
    normal, right = np.zeros((size, size)), np.zeros(size)
    at = 0
    for line in drawn:
        for step in range(1, len(line)):
            (before, _), (block, spaces) = line[step - 1], line[step]
            one, other = int(member[at + step - 1]), int(member[at + step])
            row = {words + kinds[before.character]: 1.0, words + SPACE: float(spaces)}
            row[one] = row.get(one, 0.0) + 1
            row[other] = row.get(other, 0.0) - 1
            names, values = np.array(list(row)), np.array(list(row.values()))
            normal[np.ix_(names, names)] += np.outer(values, values)
            right[names] += values * (block.x - before.x)
        at += len(line)
    solved = np.asarray(np.linalg.lstsq(normal, right, rcond=1e-10)[0], dtype=np.float64)
    return solved[:words], solved[words:]
