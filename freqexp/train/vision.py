"""Stage one: teach the vision encoder to write each cell's characters into its token."""

from __future__ import annotations

import random

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from freqexp.benchmarks.short import draw_requests
from freqexp.benchmarks.text import short_sentences
from freqexp.nouns.sample import Turn
from freqexp.pages.cells import CellsRenderer
from freqexp.train.data import SYMBOL
from freqexp.train.tokenizer import ALPHABET, CODE_GAIN, CharacterCode

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


def patches(pages: Tensor, patch: int = 14, merge: int = 2, frames: int = 2) -> Tensor:
    """Gray pages [batch, height, width] in 0..255 as the image processor's patches.

    Returns [batch * (height / patch) * (width / patch), 3 * frames * patch * patch], normalised as
    GLM-4.1V does.
    """
    batch, height, width = pages.shape
    mean, std = (torch.tensor(v)[None, :, None, None] for v in (MEAN, STD))
    color = (pages[:, None] / 255 - mean) / std
    rows, columns = height // patch // merge, width // patch // merge
    split = color.view(batch, 3, rows, merge, patch, columns, merge, patch)
    split = split.permute(0, 2, 5, 3, 6, 1, 4, 7)[:, :, :, :, :, :, None]
    return split.expand(-1, -1, -1, -1, -1, -1, frames, -1, -1).reshape(
        batch * rows * columns * merge * merge, -1
    )


class PageMaker:
    """Draws pages and the characters they show: conversations and random characters in turn."""

    def __init__(self, renderer: CellsRenderer, split: str = "train") -> None:
        self.renderer = renderer
        self.texts = short_sentences(split)
        cells = [
            renderer.draw([c])[: renderer.cell_height, : renderer.cell_width] for c in ALPHABET
        ]
        self.atlas = torch.from_numpy(np.stack(cells))

    def symbols(self, rng: random.Random) -> list[list[int]]:
        """Character indices of one page: a conversation, or random characters and blanks."""
        rows, columns = self.renderer.rows, self.renderer.columns
        if rng.random() < 0.5:
            requests, _ = draw_requests(rng, 2, 6)
            turns = [Turn(r, rng.choice(self.texts)) for r in requests]
            lines = rng.choice(self.renderer.layout(turns))
        else:
            blank = rng.random()
            lines = [
                "".join(
                    " " if rng.random() < blank else rng.choice(ALPHABET) for _ in range(columns)
                )
                for _ in range(rows)
            ]
        lines = lines + [""] * (rows - len(lines))
        return [[SYMBOL[c] for c in line.ljust(columns)] for line in lines]

    def batch(self, rng: random.Random, size: int) -> tuple[Tensor, Tensor]:
        """Pages uint8 [size, height, width] and character indices [size, rows, columns / 2, 2]."""
        grids = torch.tensor([self.symbols(rng) for _ in range(size)])
        _, rows, columns = grids.shape
        symbols = grids.view(size, rows, columns // 2, 2)
        return self.draw(symbols), symbols

    def draw(self, symbols: Tensor) -> Tensor:
        """Pages uint8 [size, height, width] of character indices [size, rows, columns / 2, 2]."""
        cells = self.atlas[symbols.flatten(2)]
        size, rows, _, height, _ = cells.shape
        return cells.permute(0, 1, 3, 2, 4).reshape(size, rows * height, -1)


def vision_losses(
    visual: nn.Module, code: CharacterCode, pages: Tensor, symbols: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Squared distance to the code (relative), cross-entropy of the characters, and the share read
    right.

    pages: float [batch, height, width] in 0..255; symbols: [batch, rows, columns, 2].
    """
    size, rows, columns, _ = symbols.shape
    grid = torch.tensor([[1, 2 * rows, 2 * columns]] * size)
    features = visual(patches(pages), grid_thw=grid).pooler_output.view(size, rows, columns, -1)
    target = code.vision(symbols[..., 0], symbols[..., 1])
    distance = functional.mse_loss(features, target) / target.pow(2).mean()
    first = features @ code.first.T / CODE_GAIN**2
    second = features @ code.second.T / CODE_GAIN**2
    logits = torch.stack([first, second], dim=-2)
    cross = functional.cross_entropy(20 * logits.flatten(0, 3), symbols.flatten())
    right = (logits.argmax(-1) == symbols).float().mean()
    return distance, cross, right
