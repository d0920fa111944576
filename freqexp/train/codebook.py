"""`python -m freqexp.train codebook [key=value ...]`: the codebook of `block_vq`.

Code words are k-means centroids of blocks of rendered text in the weighted DCT domain. The blocks
come from conversations of the train split, set with spaces between the letters so that a block
holds one letter; where the pen stands and how far it moves is a least-squares fit to their places.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from freqexp.benchmarks.generate import generate
from freqexp.codecs.block_vq.codebook import (
    END,
    FIRST,
    SPACE,
    UNIT,
    Codebook,
    Group,
    Word,
)
from freqexp.codecs.block_vq.match import band_weights, dct_matrix
from freqexp.errors import UserError
from freqexp.pages.cells import CellsRenderer
from freqexp.pages.glyph import GlyphRenderer

Floats = npt.NDArray[np.float64]
_INK = 12


@dataclass
class Setting:
    """What a group is trained on. renderer: glyph (font_px is the font's size) or cells."""

    renderer: str = "glyph"
    font_px: float = 14.0
    cell_width: int = 14
    cell_height: int = 28


@dataclass
class CodebookConfig:
    """out: the file. characters: of training text. words: most code words of a group."""

    out: str = "freqexp/models/codebooks/text.fqvq"
    seed: int = 0
    characters: int = 60000
    words: int = 320
    least: int = 2
    settings: list[Setting] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Block:
    """One letter as rendered. ink: float64 [h, w]. top: less the baseline. x: its left edge."""

    character: str
    ink: Floats
    top: int
    x: int


def load(path: Path, overrides: Sequence[str]) -> CodebookConfig:
    """The configuration in `path` with dotted overrides; UserError for anything unknown."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        merged = OmegaConf.merge(
            OmegaConf.structured(CodebookConfig),
            OmegaConf.load(path),
            OmegaConf.from_dotlist(list(overrides)),
        )
        config = OmegaConf.to_object(merged)
    except OmegaConfBaseException as error:
        raise UserError(f"training: {str(error).splitlines()[0]}") from error
    assert isinstance(config, CodebookConfig)
    return config


def train_codebook(config: CodebookConfig) -> Path:
    """Train every group and write the file."""
    lines = _text(config)
    seen = Counter(c for line in lines for c in line if c != " ")
    kinds = {c: FIRST + i for i, (c, n) in enumerate(sorted(seen.items())) if n >= config.least}
    kinds = {c: FIRST + i for i, c in enumerate(kinds)}
    groups = []
    for setting in config.settings:
        groups.append(_group(setting, lines, kinds, config))
        print(f"{setting.renderer} {setting.font_px:g} px: {len(groups[-1].words)} code words")
    book = Codebook(tuple(groups), _odds(lines, kinds))
    data = book.pack()
    path = Path(config.out)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    print(
        f"{path}: {len(data)} bytes, {len(kinds)} classes, name {Codebook.unpack(data).name.hex()}"
    )
    return path


def _text(config: CodebookConfig) -> list[str]:
    """Lines of a page's text, from conversations of the train split."""
    lines: list[str] = []
    renderer = GlyphRenderer(font_pt=14, line_height_pt=16)
    batch = 0
    while sum(map(len, lines)) < config.characters:
        samples = generate(2, 4, config.seed + batch, "long", target_chars=8000, split="train")
        for sample in samples:
            for page in renderer.render(sample.turns):
                lines += [line for line in page.text.split("\n") if line]
        batch += 1
    return lines


def _odds(lines: Sequence[str], kinds: dict[str, int]) -> npt.NDArray[np.int64]:
    """How often each class follows each other, plus what is likely for pairs never seen."""
    size = FIRST + len(kinds)
    counts = np.zeros((size, size), dtype=np.float64)
    for line in lines:
        before = END
        for character in line:
            kind = SPACE if character == " " else kinds.get(character)
            if kind is None:
                continue
            counts[before, kind] += 1
            before = kind
        counts[before, END] += 1
    alone = counts.sum(axis=0) + 1
    alone /= alone.sum()
    smooth = (counts + 8 * alone) / (counts.sum(axis=1, keepdims=True) + 8)
    return np.asarray(np.maximum(1, np.rint(smooth * 2**16)), dtype=np.int64)


def _group(
    setting: Setting, lines: Sequence[str], kinds: dict[str, int], config: CodebookConfig
) -> Group:
    """Code words of one renderer and size."""
    drawn = _drawn(setting, _spread(lines, kinds), kinds)
    blocks = [block for line in drawn for block, _ in line]
    centres, member = _k_means(blocks, config.words)
    origin, advance = _pens(drawn, member, kinds)
    words = []
    for index, (ink, top) in enumerate(centres):
        levels = np.clip(np.rint(ink / 17), 0, 15).astype(np.uint8)
        kept_rows, kept_columns = np.flatnonzero(levels.any(1)), np.flatnonzero(levels.any(0))
        cut = levels[kept_rows[0] : kept_rows[-1] + 1, kept_columns[0] : kept_columns[-1] + 1]
        votes = Counter(b.character for b, m in zip(blocks, member, strict=True) if m == index)
        kind = kinds[votes.most_common(1)[0][0]]
        place = int(np.rint(origin[index] * UNIT)) - int(kept_columns[0]) * UNIT
        words.append(Word(np.ascontiguousarray(cut), top + int(kept_rows[0]), kind, place))
    order = sorted(range(len(words)), key=lambda i: (words[i].kind, words[i].origin))
    return Group(tuple(words[i] for i in order), np.rint(advance * UNIT).astype(np.int64))


def _spread(lines: Sequence[str], kinds: dict[str, int]) -> list[str]:
    """Every letter apart, words further apart; rare letters more often than in the text."""
    rows = ["".join(c for c in line if c == " " or c in kinds) for line in lines]
    rare = Counter(c for line in rows for c in line if c != " ")
    rows += [c * 40 for c, n in rare.items() if n < 400 for _ in range(3)]
    # A pen that starts elsewhere meets other quarters of a pixel.
    rows = [(".," * (i % 3))[: i % 4] + row for i, row in enumerate(rows)]
    spread = []
    for row in rows:
        apart = "  ".join(row.split(" "))
        wide = " ".join(apart)
        spread += [wide[i : i + 60].strip() for i in range(0, len(wide), 60)]
    return [row for row in dict.fromkeys(spread) if row]


_Drawn = list[list[tuple[Block, int]]]


def _drawn(setting: Setting, rows: Sequence[str], kinds: dict[str, int]) -> _Drawn:
    """The letters of each row as rendered, and how many spaces stand before each."""
    if setting.renderer == "cells":
        return _drawn_cells(setting, kinds)
    size = setting.font_px
    pitch = 2 * round(size)
    renderer = GlyphRenderer(
        width=2400, height=20 + pitch * 100, font_pt=size, line_height_pt=pitch, crop=False
    )
    drawn: _Drawn = []
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


def _drawn_cells(setting: Setting, kinds: dict[str, int]) -> _Drawn:
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


def _k_means(
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
    found = [(np.where(ink < _INK / 2, 0, ink), -above) for ink in restored]
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


def _pens(
    drawn: _Drawn, member: npt.NDArray[np.int64], kinds: dict[str, int]
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
