"""`python -m freqexp.train priors [key=value ...]`: the priors of `symbols`.

A prior is a page of examples: pages of conversations of the train split, one below the other, in
one font and size, as a lossless bitstream of `symbols` itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from freqexp.benchmarks.generate import generate
from freqexp.codecs.symbols.codec import Symbols
from freqexp.codecs.symbols.known import Prior
from freqexp.nouns.page import Pixels
from freqexp.pages.cells import CellsRenderer
from freqexp.pages.glyph import GlyphRenderer
from freqexp.train.config import read
from freqexp.train.letters import Setting


@dataclass
class Examples(Setting):
    """What a prior is made of. file: its name. pages: of examples."""

    file: str = ""
    pages: int = 8


@dataclass
class PriorsConfig:
    """out: the folder of the files."""

    out: str = "freqexp/models/priors"
    seed: int = 0
    settings: list[Examples] = field(default_factory=list)


def load(path: Path, overrides: Sequence[str]) -> PriorsConfig:
    """The settings in `path` with overrides. Raises UserError for anything unknown."""
    return read(PriorsConfig, path, overrides)


def train_priors(config: PriorsConfig) -> list[Path]:
    """Write the prior of every setting."""
    folder, files = Path(config.out), []
    folder.mkdir(parents=True, exist_ok=True)
    for setting in config.settings:
        page = np.concatenate(example_pages(setting, config.seed))
        data = Symbols(levels=256, priors=()).encode(page)
        path = folder / setting.file
        path.write_bytes(data)
        files.append(path)
        name = Prior.of(page, data).name.hex()
        print(f"{path}: {setting.pages} pages, {len(data)} bytes, name {name}")
    return files


def example_pages(setting: Examples, seed: int) -> list[Pixels]:
    """Gray pages of one size, from conversations of the train split."""
    pages: list[Pixels] = []
    size = setting.font_px
    while len(pages) < setting.pages:
        seed += 1
        if setting.renderer == "cells":
            cells = CellsRenderer(24, 24, setting.cell_width, setting.cell_height, size)
            (sample,) = generate(2, 1, seed, "short", turns=12, split="train")
            pages.append(cells.render(sample.turns)[0].pixels)
        else:
            glyph = GlyphRenderer(font_pt=size, line_height_pt=size + 2, crop=False)
            (sample,) = generate(2, 1, seed, "long", target_chars=6000, split="train")
            pages.append(glyph.render(sample.turns)[0].pixels)
    return [page if page.ndim == 2 else page[:, :, 0] for page in pages]
