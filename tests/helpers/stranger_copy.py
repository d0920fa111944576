"""The codec `block_copy`, written from docs/bitstreams.md alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from stranger import apart, levels_of_blocks, transformed
from stranger_base import Page, RangeCoder, Table

Pixels = np.ndarray[Any, Any]
# Row and column, of a block or of a pixel; how far a source is from its block.
Place = tuple[int, int]


def block_copy(page: Page) -> Pixels:
    """Code 18."""
    step, planes, *smallest = page.parameters.varints(4)
    page.parameters.end()
    copies, *levels = page.sections
    assert 1 <= step <= 255
    assert planes in (1, 3)
    assert len(levels) == 6
    height, width = planes * page.height, page.width
    down, across = -(-height // 8), -(-width // 8)
    coder = RangeCoder(copies)
    modes = modes_of(coder, down, across)
    steps = steps_of(coder, modes, down, across)
    coder.end()
    residual = residual_of(modes, step, smallest, levels)

    found = np.zeros((8 * down, 8 * across), dtype=np.int64)
    for place in sorted(modes):
        top, left = 8 * place[0], 8 * place[1]
        if modes[place]:
            row, column = top + steps[place][0], left + steps[place][1]
            assert 0 <= row <= top
            assert 0 <= column <= 8 * across - 8
            assert row + 8 <= top or column + 8 <= left
            predicted = found[row : row + 8, column : column + 8]
        else:
            predicted = np.full((8, 8), flat(found, top, left))
        block = np.clip(predicted + residual[place], 0, 255)
        found[top : top + 8, left : left + 8] = block
    return apart(found[:height, :width].astype(np.uint8), planes, page)


def flat(page: Pixels, top: int, left: int) -> int:
    """What a flat block is predicted to be."""
    around: list[int] = []
    if top:
        around += page[top - 1, left : left + 8].tolist()
    if left:
        around += page[top : top + 8, left - 1].tolist()
    return sorted(around)[len(around) // 2] if around else 255


def modes_of(coder: RangeCoder, down: int, across: int) -> dict[Place, int]:
    """The mode of each block."""
    weights = [[1] * 4 for _ in range(8)]
    modes: dict[Place, int] = {}
    for column in range(across):
        contexts: list[list[int]] = [[] for _ in range(8)]
        for row in range(down):
            a, b, c = (modes.get((row + by, column - 1), 0) > 0 for by in (-1, 0, 1))
            contexts[4 * a + 2 * b + c].append(row)
        for context, rows in enumerate(contexts):
            table = Table(weights[context])
            for row in rows:
                modes[row, column] = coder.symbol(table)
            for row in rows:
                weights[context][modes[row, column]] += 32
    return modes


def steps_of(
    coder: RangeCoder, modes: dict[Place, int], down: int, across: int
) -> dict[Place, Place]:
    """From each copied block, the rows and columns to its source."""
    own = [place for place in sorted(modes) if modes[place] == 3]
    weights = [1] * min(8 * down, 1024)
    above: list[int] = []
    for first in range(0, len(own), 64):
        table = Table(weights)
        batch = [coder.symbol(table) for _ in own[first : first + 64]]
        for rows in batch:
            weights[rows] += 4
        above += batch
    columns = [0] * len(own)
    if across > 1:
        table = Table([1] * (8 * across - 7))
        columns = [coder.symbol(table) for _ in own]
    steps = {
        place: (-rows, column - 8 * place[1])
        for place, rows, column in zip(own, above, columns, strict=True)
    }
    for row, column in sorted(modes):
        if modes[row, column] in (1, 2):
            named = (row, column - 1) if modes[row, column] == 1 else (row - 1, column)
            assert modes.get(named), "as a block that is not copied"
            steps[row, column] = steps[named]
    return steps


def residual_of(
    modes: dict[Place, int], step: int, smallest: list[int], sections: list[bytes]
) -> dict[Place, Pixels]:
    """The residual of each block."""
    found: dict[Place, Pixels] = {}
    for copied in (False, True):
        places = [place for place in sorted(modes) if (modes[place] > 0) == copied]
        least, coded = smallest[copied], sections[3 * copied : 3 * copied + 3]
        if not places:
            assert least == 1
            assert not any(coded)
            continue
        levels = levels_of_blocks(len(places), 8, step, least, coded, differences=False)
        residual = np.clip(transformed(levels, 8, step), 0, 255)
        residual = residual - np.clip(transformed(-levels, 8, step), 0, 255)
        found |= dict(zip(places, residual, strict=True))
    return found
