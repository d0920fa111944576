"""`python -m freqexp.train codebook [key=value ...]`: the codebook of `block_vq`.

Code words are k-means centroids of blocks of rendered text in the weighted DCT domain. The blocks
come from conversations of the train split, set with spaces between the letters so that a block
holds one letter; where the pen stands and how far it moves is a least-squares fit to their places.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from freqexp.benchmarks.generate import generate
from freqexp.codecs.block_vq.codebook import END, FIRST, SPACE, UNIT, Codebook, Group, Word
from freqexp.pages.glyph import GlyphRenderer
from freqexp.train.clusters import k_means, pens
from freqexp.train.config import read
from freqexp.train.letters import Setting, drawn_letters


@dataclass
class CodebookConfig:
    """out: the file. characters: of training text. words: most code words of a group."""

    out: str = "freqexp/models/codebooks/text.fqvq"
    seed: int = 0
    characters: int = 60000
    words: int = 320
    least: int = 2
    settings: list[Setting] = field(default_factory=list)


def load(path: Path, overrides: Sequence[str]) -> CodebookConfig:
    """The codebook's training in `path` with overrides. Raises UserError for anything unknown."""
    return read(CodebookConfig, path, overrides)


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
    drawn = drawn_letters(setting, _spread(lines, kinds), kinds)
    blocks = [block for line in drawn for block, _ in line]
    centres, member = k_means(blocks, config.words)
    origin, advance = pens(drawn, member, kinds)
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
