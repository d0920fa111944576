"""Selection of vision tokens that stand for the others and that the encoder looks at."""

from __future__ import annotations

import torch
from torch import Tensor

from freqexp.coding.grid import on_grid
from freqexp.errors import fault
from freqexp.nouns.vision import Signal, VisionTokens
from freqexp.tokens.kept import signal_of
from freqexp.tokens.scorer import Selector
from freqexp.tokens.similarity import cosines


class Scope(Selector):
    """Keep tokens by saliency times coverage (SCOPE, NeurIPS 2025).

    With S the cosines of the features, negative ones 0, and m_i the largest S_ij to a chosen j (0
    at first), the next token is that of the largest sum_i max(0, S_ij - m_i) a_j^alpha: how much
    better all tokens are covered with it, times the attention a_j that it receives. Equal gains go
    by raster position. The paper takes features and attention of a layer before the last, with a
    class token; here they are the encoder's output and the attention received from all patches.

    alpha: weight of saliency, 0 (coverage alone, which needs no attention) or more.
    """

    def __init__(self, keep_ratio: float = 0.5, alpha: float = 1.0) -> None:
        """Check and keep the settings.

        Raises:
            ConfigError: a value is outside what is allowed; names all such values.
        """
        allowed = 0 <= alpha < float("inf")
        super().__init__(keep_ratio, *([] if allowed else [fault("alpha", alpha, "0 or more")]))
        self.signals: tuple[Signal, ...] = ("attention",) if alpha else ()
        self._alpha = alpha

    def select(self, tokens: VisionTokens, count: int) -> Tensor:
        """See `Selector`."""
        similarity = cosines(tokens.features).clamp_min_(0)
        weight = torch.ones(len(similarity), dtype=torch.float64, device=similarity.device)
        if self._alpha:
            attention = signal_of(tokens, "attention").double()
            weight = (attention / attention.amax()) ** self._alpha
        return best_covering(similarity, weight, count)


def best_covering(similarity: Tensor, weight: Tensor, count: int) -> Tensor:
    """Increasing places int64 [count] of the greedy choice; similarity float64 [N, N] of at least
    0 in steps of 2^-30, weight float64 [N].

    What a candidate would add changes by the tokens alone that the last choice covers better; in
    such steps sums and differences are exact, whatever their order.
    """
    chosen = torch.zeros(len(similarity), dtype=torch.bool, device=similarity.device)
    covered = torch.zeros_like(weight)
    missing = similarity.sum(dim=0)
    for _ in range(count):
        gain = on_grid(missing / len(weight) * weight)
        place = int(torch.argmax(gain.masked_fill(chosen, -1)))
        chosen[place] = True
        reached = torch.maximum(covered, similarity[:, place])
        better = (reached > covered).nonzero()[:, 0]
        before, after = covered[better, None], reached[better, None]
        missing -= (similarity[better].clamp(before, after) - before).sum(dim=0)
        covered = reached
    return chosen.nonzero()[:, 0]
