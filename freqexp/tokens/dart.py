"""DART: vision tokens that repeat least of what a few pivots say."""

from __future__ import annotations

import torch
from torch import Tensor

from freqexp.coding.grid import on_grid
from freqexp.nouns.vision import LayerView
from freqexp.tokens.layer_kept import SharePruner, check_finite, highest

PIVOTS = 4
"""Among the vision tokens, and as many among the others (arXiv 2502.11494, section 4.2)."""

_ROWS = 4096
"""Hidden states that are in float64 at once."""


class Dart(SharePruner):
    """Keep a few pivots and, for each, the vision tokens of the lowest cosine to it (arXiv
    2502.11494).

    Pivots are the 4 vision tokens and the 4 others of the largest L1 norm of keys in layer K - 1,
    over all KV heads; those among the vision tokens stay. Then each pivot in turn, vision tokens
    first, of falling norm, takes its share of the vision tokens still free: those whose hidden
    state at layer K has the lowest cosine to its own. Float64, rounded to 2^-30; ties by place.

    Here exactly T tokens stay: of the T - 4 to share, each pivot takes as many, the first ones one
    more. The authors' code keeps 4 + 8 floor(T / 8), and its pivots come in the order of a Python
    set. With T <= 4 the first T pivots are all; a request may have fewer than 4 other tokens.
    """

    nested = False

    def choose(self, view: LayerView) -> Tensor:
        """See `LayerPruner`. Raises what `count` raises, and UserError for NaN and infinity."""
        count = self.count(view)
        norms = view.keys.double().abs().sum(dim=(0, 2))
        others = torch.ones_like(norms, dtype=torch.bool)
        others[view.vision] = False
        text = others.nonzero()[:, 0]
        check_finite(keys=norms)
        taken = highest(norms.index_select(0, view.vision), min(PIVOTS, count))
        if count == len(taken):
            return taken.sort().values
        pivots = view.vision.index_select(0, taken)
        if len(text):
            more = text.index_select(0, highest(norms.index_select(0, text), PIVOTS))
            pivots = torch.cat([pivots, more])
        cosines = _cosines(view.hidden, pivots, view.vision)
        check_finite(cosines=cosines)
        free = torch.ones_like(view.vision, dtype=torch.bool)
        free[taken] = False
        each, over = divmod(count - len(taken), len(pivots))
        for number, row in enumerate(on_grid(cosines)):
            left = free.nonzero()[:, 0]
            order = torch.sort(row.index_select(0, left), stable=True).indices
            free[left[order[: each + (number < over)]]] = False
        return (~free).nonzero()[:, 0]


def _cosines(hidden: Tensor, pivots: Tensor, vision: Tensor) -> Tensor:
    """float64 [pivots, N]; 0 with a vector of zeros."""
    ours = hidden.index_select(0, pivots).double()
    parts = []
    for places in vision.split(_ROWS):
        rows = hidden.index_select(0, places).double()
        lengths = torch.outer(ours.norm(dim=1), rows.norm(dim=1))
        parts.append(ours @ rows.T / lengths.clamp_min(torch.finfo(torch.float64).tiny))
    return torch.cat(parts, dim=1)
