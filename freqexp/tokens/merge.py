"""Learned merging of neighbouring vision tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from freqexp.coding.share import check_keep_ratio
from freqexp.errors import ConfigError
from freqexp.nouns.vision import CompressedTokens, Signal, VisionTokens
from freqexp.tokens.blank_prune import blank
from freqexp.tokens.kept import budget_of, check_tokens, kept_tokens, pixels_of
from freqexp.tokens.learned import LearnedCompressor, Reduced
from freqexp.tokens.trained.groups import groups_of
from freqexp.tokens.trained.merging import Merging, make_merging, through, turned
from freqexp.tokens.trained.needed import needed
from freqexp.tokens.trained.settings import MergeSettings, merge_faults


class Merge(LearnedCompressor):
    """One token for groups of `rows` x `columns` neighbours, at their upper left place.

    which=all: for each group; no keep ratio and no budget acts. which=needed, of pairs alone: as
    many tokens stay as the keep ratio or the budget says. Blank tokens leave first, and then those
    pairs are merged that differ least, see `trained.needed`; all others stay as they are.

    With c_k the orthonormal 2-D DCT of the group's g members x_j, channel by channel, in order of
    radial frequency, so that c_0 / sqrt(g) is their mean:

    - form=linear: y = mean + W [x_1, ..., x_g], one linear map of the members side by side.
    - form=dct: y = mean + sum over k >= 1 of D_k c_k / sqrt(g): the low frequency is kept as it is,
      and each higher one has its own map. `high` of them act; 0 is average pooling.
    - form=attention: y = mean + O a, a grouped cross-attention (arXiv 2409.03420).

    What y begins as (`start`): pool, the mean exactly; detail, (c_0 + sum R_k c_k) / sqrt(g) with
    fixed random rotations R_k, so that the detail lies on top of the mean in other directions;
    first, x_1 + sum over j > 1 of R_j x_j; quiet, the same with the R_j of `LinearMerging.turn`,
    where training begins. Attention begins as the mean.

    Levels of the deep stack go through the same map (attention: they are averaged). Features of
    float32 and below are computed in float32, float64 in float64.
    """

    method = "merge"

    def __init__(
        self,
        settings: MergeSettings | None = None,
        weights: str | None = None,
        keep_ratio: float = 0.5,
    ) -> None:
        """settings: None, the default ones. weights: see `LearnedCompressor`. keep_ratio: of
        which=needed.

        Raises ConfigError naming all values out of range, or those that the weights do not have.
        """
        self._settings = settings or MergeSettings()
        faults = merge_faults(self._settings)
        self._needed = self._settings.which == "needed"
        if self._needed:
            faults += check_keep_ratio(keep_ratio)
        if faults:
            raise ConfigError(faults)
        self.adaptive = not self._needed
        self.simulated = self._needed and keep_ratio == 1
        self.signals: tuple[Signal, ...] = ("pixels",) if self._needed else ()
        self._keep_ratio = keep_ratio
        super().__init__(weights)

    @property
    def settings(self) -> Mapping[str, object]:
        """See `MergeSettings.said`."""
        return self._settings.said()

    def make(self, channels: int, grid: tuple[int, int] | None) -> nn.Module:
        """See `trained.merging`; any grid will do. Raises UserError for channels it can't take."""
        return make_merging(self._settings, channels)

    def reduce(self, tokens: VisionTokens) -> Reduced:
        """One page's merged tokens, [groups, channels] or [budget, channels], with gradients.

        Raises ValueError and UserError, see `check_tokens`, `network`, and, with which=needed,
        `pixels_of`, `budget_of` and `trained.needed`.
        """
        check_tokens(tokens)
        network = self.network_at(tokens.features)
        assert isinstance(network, Merging)
        places = groups_of(tokens.grid, self._settings.rows, self._settings.columns)
        places = places.to(tokens.features.device)
        if self._needed:
            return self._where_needed(network, tokens, places)
        features = through(network, tokens.features, places)
        levels = tuple(through(network.level, level, places) for level in tokens.deepstack)
        return Reduced(features, places.amin(dim=1), levels)

    def _where_needed(self, network: Merging, tokens: VisionTokens, pairs: Tensor) -> Reduced:
        count = budget_of(tokens, self._keep_ratio)
        shows_nothing = blank(pixels_of(tokens)).to(pairs.device)
        kept, partner = needed(tokens.features, shows_nothing, pairs, tokens.grid, count)
        places = torch.stack([kept, partner], dim=1)[partner >= 0]

        def left(merge: Callable[[Tensor], Tensor], features: Tensor) -> Tensor:
            merged = through(merge, features, places)
            return features[kept].index_put(((partner >= 0).nonzero()[:, 0],), merged)

        levels = tuple(left(network.level, level) for level in tokens.deepstack)
        return Reduced(left(network, tokens.features), kept, levels)

    def settle(self, pages: Sequence[VisionTokens], states: Tensor) -> None:
        """See `LinearMerging.turn`; of other starts and forms nothing."""
        features = torch.cat([page.features for page in pages])
        network = self.network_at(features)
        assert isinstance(network, Merging)
        turned(network, self._settings, features, states)

    def compress(self, tokens: VisionTokens) -> CompressedTokens:
        """Compress one page's tokens; features [N, channels] -> [K, channels].

        `stored_bytes` is the length of a bitstream of the merged tokens and their places.
        Raises ValueError and UserError, see `reduce`.
        """
        check_tokens(tokens)
        found = self.reduced(tokens)
        return kept_tokens(found.features, found.kept, tokens.grid, found.deepstack)
