"""Selection of vision tokens that differ most from each other."""

from __future__ import annotations

import torch
from torch import Tensor

from freqexp.nouns.vision import VisionTokens
from freqexp.tokens.scorer import Selector
from freqexp.tokens.similarity import cosines


class DivPrune(Selector):
    """Keep tokens whose smallest cosine distance is largest (DivPrune, arXiv 2503.02175).

    The max-min diversity problem is solved greedily: the first token is the one whose nearest
    neighbour is farthest away; each next one is the one farthest from its nearest chosen token.
    Chosen tokens are out of the choice, so copies give distinct places. Equal distances go by
    raster position.
    """

    def select(self, tokens: VisionTokens, count: int) -> Tensor:
        """See `Selector`."""
        return most_diverse(1 - cosines(tokens.features), count)


def most_diverse(distance: Tensor, count: int) -> Tensor:
    """Increasing places int64 [count] of the greedy max-min choice among float64 [N, N]."""
    chosen = torch.zeros(len(distance), dtype=torch.bool, device=distance.device)
    others = distance.clone()
    others.fill_diagonal_(torch.inf)
    # Of a token alone the nearest neighbour is infinitely far.
    nearest = others.amin(dim=1)
    first = int(torch.argmax(nearest))
    chosen[first] = True
    to_chosen = distance[first].clone()
    for _ in range(count - 1):
        place = int(torch.argmax(to_chosen.masked_fill(chosen, -torch.inf)))
        chosen[place] = True
        torch.minimum(to_chosen, distance[place], out=to_chosen)
    return chosen.nonzero()[:, 0]
