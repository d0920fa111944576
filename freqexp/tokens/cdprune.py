"""Selection of vision tokens that are diverse and concern the question."""

from __future__ import annotations

import torch
from torch import Tensor

from freqexp.coding.grid import on_grid
from freqexp.nouns.vision import Signal, VisionTokens
from freqexp.tokens.kept import signal_of
from freqexp.tokens.scorer import Selector
from freqexp.tokens.similarity import products, unit_rows

LEAST = 1e-6
"""Relevance of the least relevant token, so that it is not lost altogether."""
JITTER = 1e-6
"""On the kernel's diagonal, so that copies of a token stay a (bad) choice."""


class CdPrune(Selector):
    """Keep the tokens of a determinantal point process (CDPruner, arXiv 2506.10967).

    Kernel L_ij = r_i S_ij r_j with S the cosines of the features and r the relevance: a token's
    mean cosine with the question's words, scaled to [0, 1] over the page (all 1 where it is
    constant). The set of the largest determinant is approached greedily by an incremental Cholesky
    factor. Equal gains go by raster position.

    The paper measures relevance with CLIP's text encoder, where it takes the negative cosine; here
    the words are the decoder's own embeddings, in the space that the features are in, and the sign
    is positive.
    """

    signals: tuple[Signal, ...] = ("question",)

    def select(self, tokens: VisionTokens, count: int) -> Tensor:
        """See `Selector`."""
        rows = unit_rows(tokens.features)
        weight = relevance(rows, unit_rows(signal_of(tokens, "question")))
        return most_determinant(weight[:, None] * products(rows, rows) * weight, count)


def relevance(rows: Tensor, words: Tensor) -> Tensor:
    """Float64 [N], LEAST to 1, of tokens [N, channels] for words [M, channels], float64 of length
    1; M may be 0.
    """
    if not len(words):
        return torch.ones(len(rows), dtype=torch.float64, device=rows.device)
    mean = on_grid(products(rows, words).mean(dim=1))
    span = mean.amax() - mean.amin()
    if not bool(span > 0):
        return torch.ones_like(mean)
    return (mean - mean.amin()) / span * (1 - LEAST) + LEAST


def most_determinant(kernel: Tensor, count: int) -> Tensor:
    """Increasing places int64 [count] of the greedy choice for a kernel float64 [N, N] >= 0.

    Row k of `factor` is what the k-th choice explains of every token; what is left of a token's own
    entry is the factor by which choosing it multiplies the determinant (Chen et al. 2018, alg. 1).
    """
    size = len(kernel)
    factor = kernel.new_zeros((count, size))
    left = kernel.diagonal() + JITTER
    chosen = torch.zeros(size, dtype=torch.bool, device=kernel.device)
    for step in range(count):
        place = int(torch.argmax(on_grid(left).masked_fill(chosen, -1)))
        chosen[place] = True
        explained = factor[:step, place] @ factor[:step]
        row = kernel[place] - explained
        row[place] = row[place] + JITTER
        factor[step] = row / left[place].clamp_min(torch.finfo(left.dtype).tiny).sqrt()
        left = (left - factor[step] ** 2).clamp_min_(0)
    return chosen.nonzero()[:, 0]
