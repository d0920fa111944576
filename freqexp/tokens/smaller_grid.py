"""What methods share that make a smaller grid of vision tokens."""

from __future__ import annotations

import torch
from torch import Tensor

from freqexp.nouns.vision import CompressedTokens, VisionTokens
from freqexp.tokens.kept import merged_tokens


def smaller_grid(grid: tuple[int, int], budget: int) -> tuple[int, int]:
    """Rows h and columns w of at most `budget` tokens, 1 or more, that lose least of a grid H x W:
    the largest min(h / H, w / W), then the largest h w, then the largest h.
    """
    rows, columns = grid
    shapes = [(h, min(columns, budget // h)) for h in range(1, min(rows, budget) + 1)]
    return max(shapes, key=lambda s: (min(s[0] / rows, s[1] / columns), s[0] * s[1], s[0]))


def centres(size: int, count: int, device: torch.device) -> Tensor:
    """Where `count` tokens lie that stand for `size` in a row: floor((i + 0.5) size / count)."""
    return (2 * torch.arange(count, device=device) + 1) * size // (2 * count)


def resampled(tokens: VisionTokens, down: Tensor, across: Tensor) -> CompressedTokens:
    """Tokens X of a grid H x W as A X B^T, A = `down` [h, H] and B = `across` [w, W] in float64, of
    every channel and every level of the deep stack; each at the centre of what it stands for.
    """
    (height, rows), (width, columns) = down.shape, across.shape
    device = tokens.features.device
    down, across = down.to(device), across.to(device)

    def merge(features: Tensor) -> Tensor:
        wide = torch.einsum("ij,jkc->ikc", down, features.view(rows, columns, -1))
        return torch.einsum("lk,ikc->ilc", across, wide).flatten(0, 1)

    row, column = centres(rows, height, device), centres(columns, width, device)
    return merged_tokens(tokens, (row[:, None] * columns + column).view(-1), merge)
