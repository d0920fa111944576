"""Selection of vision tokens by attention, and of dissimilar ones among the rest."""

from __future__ import annotations

import torch
from torch import Tensor

from freqexp.coding.share import check_keep_ratio
from freqexp.errors import ConfigError, fault
from freqexp.nouns.vision import CompressedTokens, Signal, VisionTokens
from freqexp.tokens.base import TokenCompressor
from freqexp.tokens.kept import budget_of, check_tokens, pruned_tokens, signal_of, whole
from freqexp.tokens.similarity import cosines

STEP = 8
"""Tokens that go at once at most, as in the authors' code."""


class VisPruner(TokenCompressor):
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
        faults = check_keep_ratio(keep_ratio)
        if not 0 <= important <= 1:
            faults.append(fault("important", important, "0 to 1"))
        if faults:
            raise ConfigError(faults)
        self.simulated = keep_ratio == 1
        self._keep_ratio = keep_ratio
        self._important = important

    def compress(self, tokens: VisionTokens) -> CompressedTokens:
        """Compress one page's tokens; features [N, channels] -> [K, channels].

        Raises ValueError and UserError, see `check_tokens`, `budget_of` and `signal_of`.
        """
        check_tokens(tokens)
        attention = signal_of(tokens, "attention")
        count = budget_of(tokens, self._keep_ratio)
        if count == len(tokens.features):
            return whole(tokens)
        order = torch.sort(attention, descending=True, stable=True).indices
        first = int(count * self._important)
        rest = thinned(order[first:], cosines(tokens.features), count - first)
        return pruned_tokens(tokens, torch.cat([order[:first], rest]).sort().values)


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
