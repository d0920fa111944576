"""Vector quantisation of vision tokens with learned codebooks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from freqexp.errors import ConfigError, UserError
from freqexp.nouns.vision import CompressedTokens, VisionTokens
from freqexp.tokens.kept import check_tokens
from freqexp.tokens.learned import LearnedCompressor, Reduced, evaluating
from freqexp.tokens.trained.codes import Codes
from freqexp.tokens.trained.groups import groups_of, merged_grid
from freqexp.tokens.trained.merging import through, turned, working_dtype
from freqexp.tokens.trained.own import own_codes
from freqexp.tokens.trained.page_codes import PageCodes, store
from freqexp.tokens.trained.settings import VqSettings
from freqexp.tokens.trained.vq_network import VqNetwork


@dataclass(frozen=True, eq=False)
class Coded:
    """A page on its way. value: the tokens of the code words, float64 [n, channels]."""

    reduced: Reduced
    codes: Codes
    shared: bool
    parts: Sequence[Tensor]
    indices: Sequence[Tensor]


class TokenVq(LearnedCompressor):
    """Each token, or each group's merged one, becomes the indices of code words that add up to it.

    1. merge: groups of `rows` x `columns` as in `Merge`; 1 x 1: none.
    2. center: the mean token is taken off, by row plus by column where all pages had one grid.
    3. domain=dct: orthonormal 2-D DCT of each channel over the grid; radial frequency makes bands,
       as in `TokenDct`, and each has its own codebooks; a band of none becomes zero.
       domain=token: one band, the tokens.
    4. M books of K code words: x ~ sum over m of c_m(i_m). kind=plain: M = 1, the nearest.
       residual: each book was made of what the books before leave, and the sum is found by a beam
       search. additive: all books were made together by least squares, and the sum is found by a
       beam search and iterated conditional modes (LSQ, Martinez et al. 2016 and 2018).
    5. The indices are entropy coded in context (`trained.prior`), and the features are made of the
       code words in float16.

    Codebooks follow the tokens: exponential moving averages (van den Oord et al. 2017, appendix
    A.1), moved by `after_step`, which also replaces code words that are hardly used; they begin by
    `start`. Gradients go straight through to the merge, which also has the commitment loss, the
    mean squared distance from the code words. Before `start` training goes without codes.

    A codebook that was begun or loaded is shared: a page counts a hundredth of its bytes
    (`page_share`), code words, mean tokens and priors, as of `block_vq`; the merge is not needed to
    decode. Otherwise a page gets codebooks of its own by k-means, counted in full. Levels of the
    deep stack are merged and not coded.
    """

    method = "token_vq"
    fills_budget = False
    nested = False
    quantises = True

    def __init__(self, settings: VqSettings | None = None, weights: str | None = None) -> None:
        """settings: None, the default ones. weights: see `LearnedCompressor`.

        Raises ConfigError naming all values out of range, or those that the weights do not have.
        """
        self._settings = settings or VqSettings()
        faults = self._settings.faults()
        if faults:
            raise ConfigError(faults)
        self._group = (self._settings.merge.rows, self._settings.merge.columns)
        self.simulated = self._settings.merge.size == 1
        self.adaptive = not self.simulated
        self._grid: tuple[int, int] | None = None
        super().__init__(weights)

    @property
    def settings(self) -> Mapping[str, object]:
        """See `VqSettings.said`."""
        return self._settings.said()

    @property
    def grid(self) -> tuple[int, int] | None:
        """The grid of pages whose mean tokens are taken off place by place; None without one."""
        return self._grid

    def make(self, channels: int, grid: tuple[int, int] | None) -> nn.Module:
        """See `VqNetwork`. Raises UserError for channels that the merge can't take."""
        self._grid = grid
        inner = (1, 1) if grid is None else merged_grid(grid, *self._group)
        return VqNetwork(self._settings, channels, inner)

    def restore(self, state: Mapping[str, Tensor], grid: tuple[int, int] | None) -> None:
        """See `LearnedCompressor`; the mean tokens are of as many places as they were then."""
        assert isinstance(self._network, VqNetwork)
        for name in ("center_rows", "center_columns"):
            held = getattr(self._network, name)
            setattr(self._network, name, held.new_zeros(state[name].shape))
        super().restore(state, grid)
        self._grid = grid

    def _made_for(self, tokens: VisionTokens) -> VqNetwork:
        network = self.network_at(tokens.features)
        assert isinstance(network, VqNetwork)
        return network

    def reduce(self, tokens: VisionTokens) -> Reduced:
        """One page's tokens made of code words, [groups, channels]; gradients go straight through.

        Raises ValueError and UserError, see `check_tokens` and `network`, and UserError for a page
        of another grid than the mean tokens are for.
        """
        check_tokens(tokens)
        network = self._made_for(tokens)
        if network.training and not network.begun:
            return self._merged(network, tokens)
        coded = self._coded(network, tokens)
        if network.training:
            network.observe(coded.parts, coded.indices)
        return coded.reduced

    def compress(self, tokens: VisionTokens) -> CompressedTokens:
        """Compress one page's tokens; features [N, channels] -> [groups, channels].

        `stored_bytes` is the length of a bitstream of the indices, with the codebook that is the
        page's own or its share of the shared one. `nominal_ratio` is N channels bits of the input
        dtype over log2 K bits for each index. Raises what `reduce` raises.
        """
        check_tokens(tokens)
        network = self._made_for(tokens)
        with evaluating(network):
            coded = self._coded(network, tokens)
        found, features = coded.reduced, tokens.features
        indices = tuple(index.cpu() for index in coded.indices)
        page = PageCodes(tokens.grid, features.dtype, coded.codes, coded.shared, indices)
        stored_bytes, components = store(page)
        bits = sum(
            index.numel() * math.log2(max(2, book.shape[1]))
            for index, book in zip(indices, coded.codes.books, strict=True)
        )
        return CompressedTokens(
            found.features,
            found.kept,
            tokens.grid,
            8 * features.nelement() * features.element_size() / bits if bits else None,
            stored_bytes=stored_bytes,
            deepstack=found.deepstack,
            components=components,
        )

    def settle(self, pages: Sequence[VisionTokens], states: Tensor) -> None:
        """See `Merge.settle`."""
        network = self._made_for(pages[0])
        features = torch.cat([page.features for page in pages])
        turned(network.merging, self._settings.merge, features, states)

    def start(self, pages: Sequence[VisionTokens]) -> None:
        """Make mean tokens, codebooks and their prior of these pages, as the merge is now.

        Raises ValueError without pages, or with fewer tokens than code words.
        """
        if not pages:
            raise ValueError("start: got no pages, allowed: one or more")
        network = self._made_for(pages[0])
        with evaluating(network):
            merged = [self._merged(network, page).features for page in pages]
            network.begin(merged, [merged_grid(page.grid, *self._group) for page in pages])
        grids = {page.grid for page in pages}
        self._grid = grids.pop() if self._settings.center and len(grids) == 1 else None

    def freeze(self, pages: Sequence[VisionTokens] = ()) -> None:
        """From now on the codebooks stay as they are; with pages, their prior is made of these.

        Raises ValueError before `start`.
        """
        if not isinstance(self._network, VqNetwork) or not self._network.begun:
            raise ValueError("freeze: there are no codebooks before start")
        self._network.frozen.fill_(True)
        if pages:
            with evaluating(self._network):
                found = [self._coded(self._network, page).indices for page in pages]
            grids = [merged_grid(page.grid, *self._group) for page in pages]
            self._network.count(found, grids)

    def pending(self) -> list[Tensor]:
        """See `Books.pending`; nothing before there are codebooks that move."""
        network = self._network
        if not isinstance(network, VqNetwork) or not network.begun or network.frozen:
            return []
        return [tensor for band in network.books for tensor in band.pending()]

    def after_step(self) -> Mapping[str, float]:
        """Move the codebooks. Returns usage_n and perplexity_n of each book n, see `Books`."""
        return self._network.step() if isinstance(self._network, VqNetwork) else {}

    def _merged(self, network: VqNetwork, tokens: VisionTokens) -> Reduced:
        """The tokens to be coded, and the deep stack."""
        places = groups_of(tokens.grid, *self._group).to(tokens.features.device)
        if network.merging is None:
            return Reduced(tokens.features, places.amin(dim=1), tokens.deepstack)
        levels = tuple(through(network.merging.level, level, places) for level in tokens.deepstack)
        features = through(network.merging, tokens.features, places)
        return Reduced(features, places.amin(dim=1), levels)

    def _coded(self, network: VqNetwork, tokens: VisionTokens) -> Coded:
        merged, grid = self._merged(network, tokens), merged_grid(tokens.grid, *self._group)
        given = self._settings
        exact = merged.features.to(working_dtype(merged.features.dtype))
        shared = bool(network.begun)
        codes = network.codes() if shared else own_codes(exact.detach(), grid, given)
        if not codes.fits(grid):
            raise UserError(
                f"token_vq: a page of {tokens.grid} tokens, the mean tokens are for {self._grid}"
            )
        parts = codes.split(exact.detach(), grid)
        indices = codes.assign(parts, given.beam, given.kind == "additive")
        value = codes.restore(indices, grid).to(exact.dtype)
        loss = given.commitment * (exact - value).square().mean()
        # The value of the code words to the last bit, the gradient of the tokens.
        features = value + (exact - exact.detach())
        reduced = Reduced(features.to(tokens.features.dtype), merged.kept, merged.deepstack, loss)
        return Coded(reduced, codes, shared, parts, indices)
