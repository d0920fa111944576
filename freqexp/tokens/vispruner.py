"""Selection of vision tokens by attention, and of dissimilar ones among the rest."""

from __future__ import annotations

import torch
from torch import Tensor

from freqexp.errors import fault
from freqexp.nouns.vision import Signal, VisionTokens
from freqexp.tokens.kept import signal_of
from freqexp.tokens.scorer import Selector
from freqexp.tokens.similarity import cosines

STEP = 8
"""Tokens that go at once at most, as in the authors' code."""


class VisPruner(Selector):
    """Keep the tokens that receive most attention, and then diverse ones (arXiv 2412.01818).

    floor(important K) of the K kept tokens are those of the most attention. The others, in falling
    attention, are thinned out: those at even places are compared with those at odd places, and up
    to eight whose best cosine is highest go; what is left of the even ones, then the odd ones, is
    the next list, until as many are left as are to stay. Equal values go by the order of the list,
    equal attention by raster position.

    Encoders without a class token take part by the attention received from all patches, and
    features are the encoder's output. important=1 is attention alone (FasterVLM).
    """

    signals: tuple[Signal, ...] = ("attention",)
    nested = False

    def __init__(self, keep_ratio: float = 0.5, important: float = 0.5) -> None:
        """Check and keep the settings.

        keep_ratio: share of the tokens kept, in (0, 1]. important: share of them that attention
        chooses, in [0, 1].

        Raises:
            ConfigError: a value is outside what is allowed; names all such values.
        """
        allowed = 0 <= important <= 1
        faults = [] if allowed else [fault("important", important, "0 to 1")]
        super().__init__(keep_ratio, *faults)
        self._important = important

    def select(self, tokens: VisionTokens, count: int) -> Tensor:
        """See `Selector`."""
        attention = signal_of(tokens, "attention")
        order = torch.sort(attention, descending=True, stable=True).indices
        first = int(count * self._important)
        rest = thinned(order[first:], cosines(tokens.features), count - first)
        return torch.cat([order[:first], rest])


def thinned(order: Tensor, similarity: Tensor, count: int) -> Tensor:
    """`count` of the places int64 [R] in `order`, the others being like one that stays; similarity
    float64 [N, N].
    """
    if count == 0:
        return order[:0]
    while len(order) > count:
        even, odd = order[::2], order[1::2]
        nearest = similarity[even][:, odd].amax(dim=1)
        gone = min(STEP, len(order) - count, len(even))
        by_nearness = torch.sort(nearest, descending=True, stable=True).indices
        stays = torch.ones(len(even), dtype=torch.bool, device=order.device)
        stays[by_nearness[:gone]] = False
        order = torch.cat([even[stays], odd])
    return order
