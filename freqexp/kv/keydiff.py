"""KeyDiff: the keys least like the mean one."""

from __future__ import annotations

import torch
from torch import Tensor

from freqexp.coding.grid import on_grid
from freqexp.kv.evict import Evictor
from freqexp.nouns.cache import LayerCache


class KeyDiff(Evictor):
    """Keep the tokens whose keys point away from the anchor, the mean of a head's keys at length 1
    (arXiv 2504.15364): the score is minus the cosine with it.

    The anchor is that of the whole prompt that is compressed, as in the paper, also where only
    tokens of pages may leave. The paper evicts block by block during prefill; here it is done once,
    after it. Keys of zeros count as being at a right angle to everything. Float64; cosines are
    rounded to 2^-20.
    """

    def score(self, layer: LayerCache) -> Tensor:
        """Minus the cosine of key and anchor."""
        keys = _unit(layer.keys.double())
        anchor = _unit(keys.mean(dim=1, keepdim=True))
        return on_grid(-(keys * anchor).sum(dim=2), 20)


def _unit(rows: Tensor) -> Tensor:
    """Rows [..., channels] of length 1; rows of zeros stay."""
    norm = torch.linalg.vector_norm(rows, dim=-1, keepdim=True)
    units: Tensor = rows / norm.clamp_min(torch.finfo(rows.dtype).tiny)
    return units
