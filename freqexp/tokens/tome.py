"""Merging of vision tokens that are alike."""

from __future__ import annotations

import torch
from torch import Tensor

from freqexp.errors import fault
from freqexp.nouns.vision import CompressedTokens, Signal, VisionTokens
from freqexp.tokens.kept import check_tokens, merged_tokens, signal_of, whole
from freqexp.tokens.scorer import ShareCompressor
from freqexp.tokens.similarity import cosines

METRICS = ("keys", "features")


class ToMe(ShareCompressor):
    """Merge the most similar tokens by bipartite soft matching (ToMe, arXiv 2210.09461).

    In each step the tokens in raster order are split into A (1st, 3rd, ...) and B; every token of A
    has its most similar one in B by the cosine of `metric`; the r tokens of A with the highest are
    merged into theirs by a mean weighted with how many tokens each stands for. A merged token lies
    where its token of B lay. Equal cosines go by raster position.

    ToMe merges inside every block of the encoder; here all steps act on its output, because towers
    that merge 2 x 2 patches at their end need the whole grid. Sizes are not handed to the decoder.

    metric: the encoder's keys, as in the paper, or the features themselves. steps: None, as few as
    possible; a number: in each of them about as many tokens go.
    """

    nested = False

    def __init__(
        self, keep_ratio: float = 0.5, metric: str = "keys", steps: int | None = None
    ) -> None:
        """Check and keep the settings.

        Raises:
            ConfigError: a value is outside what is allowed, or `keep_ratio` needs more than half of
                the tokens to go in one of the steps; names all such values.
        """
        faults = [] if metric in METRICS else [fault("metric", metric, ", ".join(METRICS))]
        if steps is not None and steps < 1:
            faults.append(fault("steps", steps, "1 or more, or null"))
        elif steps is not None and not faults and 0 < keep_ratio < 0.5**steps:
            allowed = f"{0.5**steps:g} or more with steps={steps} (at most half go in one)"
            faults.append(fault("keep_ratio", keep_ratio, allowed))
        super().__init__(keep_ratio, *faults)
        self.signals: tuple[Signal, ...] = ("keys",) if metric == "keys" else ()
        self._by_keys = metric == "keys"
        self._steps = steps

    def compress(self, tokens: VisionTokens) -> CompressedTokens:
        """Compress one page's tokens; features [N, channels] -> [K, channels].

        Raises ValueError and UserError, see `check_tokens`, `budget_of` and `signal_of`, and
        ValueError when a budget needs more than half of the tokens to go in one of the steps.
        """
        check_tokens(tokens)
        metric = signal_of(tokens, "keys") if self._by_keys else tokens.features
        count = self.count(tokens)
        if count == len(metric):
            return whole(tokens)
        group = matched(metric.double(), schedule(len(metric), count, self._steps))
        kept, index = torch.unique(group, return_inverse=True)
        size = torch.bincount(index, minlength=len(kept)).unsqueeze(1)

        def merge(features: Tensor) -> Tensor:
            sums = features.new_zeros((len(kept), features.shape[1]))
            return sums.index_add_(0, index, features) / size

        return merged_tokens(tokens, kept, merge)


def schedule(tokens: int, count: int, steps: int | None) -> list[int]:
    """How many tokens go in each step, at most half of what is there, rounded up.

    Raises ValueError when `steps` are too few.
    """
    gone: list[int] = []
    while tokens > count:
        wanted, most = tokens - count, (tokens + 1) // 2
        if steps is not None:
            left = steps - len(gone)
            # What `left - 1` steps that halve can still bring down to `count`.
            reach = ((count + 1) << left - 1) - 1 if left else 0
            wanted = max(-(-wanted // left), tokens - reach) if left else tokens
            if wanted > most:
                raise ValueError(fault("steps", steps, "more, so that at most half go in one"))
        gone.append(min(wanted, most))
        tokens -= gone[-1]
    return gone


def matched(metric: Tensor, gone: list[int]) -> Tensor:
    """The place int64 [N] that each token is merged into, its own where it stays.

    metric: float64 [N, channels]; a merged token's is the mean of those it stands for.
    """
    count, device = len(metric), metric.device
    group = torch.arange(count, device=device)
    places, size, sums = group.clone(), torch.ones(count, 1, device=device).double(), metric.clone()
    for number in gone:
        ours, theirs = places[::2], places[1::2]
        means = sums / size
        similarity, best = cosines(means[ours], means[theirs]).max(dim=1)
        leaving = torch.sort(similarity, descending=True, stable=True).indices[:number]
        source, target = ours[leaving], theirs[best[leaving]]
        # A sum with the sizes beside it is a mean weighted with them.
        sums.index_add_(0, target, sums[source])
        size.index_add_(0, target, size[source])
        moved = torch.arange(count, device=device)
        moved[source] = target
        group = moved[group]
        stays = torch.ones(count, dtype=torch.bool, device=device)
        stays[source] = False
        places = places[stays[places]]
    return group
