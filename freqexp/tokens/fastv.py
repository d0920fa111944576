"""FastV: the vision tokens that the last prompt token attends to."""

from __future__ import annotations

import torch
from torch import Tensor

from freqexp.nouns.vision import LayerView
from freqexp.tokens.layer_kept import SharePruner, check_finite, highest


class Fastv(SharePruner):
    """Keep the T vision tokens of the highest attention (arXiv 2403.06764, section 4.1).

    A token's score is the attention that the last prompt token gives it in layer K - 1: the softmax
    over all tokens before it of query times key, mean over heads. Of the map that needs one row,
    so any attention implementation serves. Float64, rounded to 2^-30 of the row's largest score;
    ties by place.
    """

    def choose(self, view: LayerView) -> Tensor:
        """See `LayerPruner`. Raises what `count` raises, and UserError for NaN and infinity."""
        count = self.count(view)
        scores = attention_row(view).index_select(0, view.vision)
        check_finite(scores=scores)
        return highest(scores, count).sort().values


def attention_row(view: LayerView) -> Tensor:
    """float64 [L], sums to 1: attention of the last token, mean over heads."""
    heads, kv_heads = len(view.query), len(view.keys)
    query = view.query.double().reshape(kv_heads, heads // kv_heads, -1)
    logits = query @ view.keys.double().transpose(1, 2) * view.scale
    return torch.softmax(logits, dim=-1).mean(dim=(0, 1))
