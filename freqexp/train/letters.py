"""Letters cut from drawn lines: what the code words of a codebook are made of."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from freqexp.pages.cells import CellsRenderer
from freqexp.pages.glyph import GlyphRenderer

Floats = npt.NDArray[np.float64]
INK = 12


@dataclass
class Setting:
    """What a group is trained on. renderer: glyph (font_px is the font's size) or cells."""

    renderer: str = "glyph"
    font_px: float = 14.0
    cell_width: int = 14
    cell_height: int = 28


@dataclass(frozen=True, eq=False)
class Block:
    """One letter as rendered. ink: float64 [h, w]. top: less the baseline. x: its left edge."""

    character: str
    ink: Floats
    top: int
    x: int


Drawn = list[list[tuple[Block, int]]]


def drawn_letters(setting: Setting, rows: Sequence[str], kinds: dict[str, int]) -> Drawn:
    """The letters of each row as rendered, and how many spaces stand before each."""
    if setting.renderer == "cells":
        return _drawn_cells(setting, kinds)
    size = setting.font_px
    pitch = 2 * round(size)
    renderer = GlyphRenderer(
        width=2400, height=20 + pitch * 100, font_pt=size, line_height_pt=pitch, crop=False
    )
    drawn: Drawn = []
    pages = renderer.render_text("\n".join(rows))
    for page in pages:
        ink = 255 - page.pixels.astype(np.float64)
        profile = ink.sum(axis=1)
        drop = profile - np.append(profile[1:], 0)
        texts = page.text.split("\n")
        offsets = [drop[10 + o :: pitch][: len(texts)].sum() for o in range(pitch)]
        baseline = 10 + int(np.argmax(offsets))
        for number, text in enumerate(texts):
            row = baseline + number * pitch
            top = row - round(1.2 * size)
            line = _split(ink[max(top, 0) : row + round(0.6 * size)], text, size)
            offset = max(top, 0) - row
            if line is not None:
                drawn.append([(_block(c, i, x, offset), s) for c, i, x, s in line])
    return drawn


def _drawn_cells(setting: Setting, kinds: dict[str, int]) -> Drawn:
    """Each letter in a cell of its own: one block, at one place."""
    renderer = CellsRenderer(
        len(kinds) * 2, 1, setting.cell_width, setting.cell_height, setting.font_px
    )
    text = " ".join(kinds)
    ink = 255 - renderer.draw([text]).astype(np.float64)
    profile = ink.sum(axis=1)
    baseline = int(np.argmax(profile - np.append(profile[1:], 0)))
    line = []
    for index, character in enumerate(kinds):
        at = 2 * index * setting.cell_width
        cell = ink[:, at : at + setting.cell_width]
        line.append((_block(character, cell, at, -baseline), 1 if index else 0))
    return [line]


def _block(character: str, ink: Floats, x: int, offset: int) -> Block:
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    cut = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return Block(character, cut, offset + int(rows[0]), x + int(columns[0]))


def _split(band: Floats, text: str, size: float) -> list[tuple[str, Floats, int, int]] | None:
    """(character, ink, left, spaces before) of each letter of a line; None when they can't be told
    apart.
    """
    dark = np.append(band.max(axis=0) > 0, False)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], dark]).astype(np.int8)))
    pieces = [[int(a), int(b)] for a, b in edges.reshape(-1, 2)]
    letters, spaces = [], [0]
    for character in text:
        if character == " ":
            spaces[-1] += 1
        else:
            letters.append(character)
            spaces.append(0)
    while len(pieces) > len(letters):
        gaps = [b[0] - a[1] for a, b in itertools.pairwise(pieces)]
        at = int(np.argmin(gaps))
        if gaps[at] > 0.25 * size:
            return None
        pieces[at : at + 2] = [[pieces[at][0], pieces[at + 1][1]]]
    if len(pieces) != len(letters):
        return None
    return [(c, band[:, a:b], a, s) for c, (a, b), s in zip(letters, pieces, spaces, strict=False)]
