"""Networks that make one token of a group: linear, by frequency, and with attention."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from freqexp.errors import UserError, fault
from freqexp.tokens.trained.groups import group_basis, rotation
from freqexp.tokens.trained.settings import MergeSettings

# Rotations 1 to 15 are those of a group's members or coefficients, these are others.
_FACTORS, _QUERY, _KEY, _VALUE, _PLACES = 100, 200, 201, 202, 203


class Merging(nn.Module):
    """Groups [n, g, channels] -> tokens [n, channels], in the groups' floating dtype."""

    def forward(self, members: Tensor) -> Tensor:
        """The merged tokens: their mean and what the parameters add to it."""
        return members.mean(dim=1) + self.detail(members)

    def detail(self, members: Tensor) -> Tensor:
        """What is added to the mean: [n, channels]."""
        raise NotImplementedError

    def level(self, members: Tensor) -> Tensor:
        """The merged tokens of a level of the deep stack: the same map."""
        return self.forward(members)


class LinearMerging(Merging):
    """y = mean + W [x_1, ..., x_g], W [channels, g channels]."""

    def __init__(self, settings: MergeSettings, channels: int) -> None:
        """W is zero (start=pool), or such that y is the mean plus rotated coefficients (detail) or
        the first token plus the rotated others (first; quiet until `turn`).
        """
        super().__init__()
        size = settings.size
        blocks = torch.zeros(size, channels, channels, dtype=torch.float64)
        eye = torch.eye(channels, dtype=torch.float64)
        if settings.start in ("first", "quiet"):
            blocks[0] = eye
            for member in range(1, size):
                blocks[member] = rotation(channels, member)
            blocks -= eye / size
        elif settings.start == "detail":
            basis = group_basis(settings.rows, settings.columns) / math.sqrt(size)
            for number in range(1, size):
                blocks += basis[number, :, None, None] * rotation(channels, number)
        self.weight = nn.Parameter(blocks.transpose(0, 1).flatten(1).float())

    def turn(self, tokens: Tensor, states: Tensor) -> None:
        """Make y the first token plus the others turned into the directions in which the decoder's
        states vary least (start=quiet).

        With t_i the principal directions of the tokens [n, channels], strongest first, and q_i
        those of the states, whose covariance is [channels, channels], weakest first, member j + 1
        of a group of g has t_i turned into q_(i (g - 1) + j - 1), as far as there are directions.
        """
        channels = tokens.shape[1]
        size = self.weight.shape[1] // channels
        exact = tokens.double()
        strongest = torch.linalg.eigh(torch.cov(exact.T)).eigenvectors.flip(1)
        weakest = torch.linalg.eigh(states.to(exact)).eigenvectors
        eye = torch.eye(channels, dtype=torch.float64, device=exact.device)
        blocks = [eye]
        for member in range(1, size):
            chosen = weakest[:, member - 1 :: size - 1]
            blocks.append(chosen @ strongest[:, : chosen.shape[1]].T)
        whole = torch.cat([block - eye / size for block in blocks], dim=1)
        with torch.no_grad():
            self.weight.copy_(whole)

    def detail(self, members: Tensor) -> Tensor:
        """W [x_1, ..., x_g]."""
        return nn.functional.linear(members.flatten(1), self.weight.to(members.dtype))


class DctMerging(Merging):
    """y = mean + sum over k of D_k c_k / sqrt(g): the lowest frequency as it is, each higher
    coefficient c_k, in order of radial frequency, with its own D_k [channels, channels].

    With a rank r, D_k = U_k V_k, [channels, r] and [r, channels].
    """

    basis: Tensor

    def __init__(self, settings: MergeSettings, channels: int) -> None:
        """D_k, or its factor U_k, is zero (start=pool); D_k is a rotation, or a part of rank r of
        one (detail). Raises UserError for a rank above the channels.
        """
        super().__init__()
        size, rank = settings.size, settings.rank
        if rank is not None and rank > channels:
            raise UserError(fault("rank", rank, f"at most the tokens' {channels} channels"))
        count = size - 1 if settings.high is None else settings.high
        basis = group_basis(settings.rows, settings.columns)[1 : 1 + count] / math.sqrt(size)
        self.register_buffer("basis", basis, persistent=False)
        self.maps = nn.ParameterList()
        self.up, self.down = nn.ParameterList(), nn.ParameterList()
        empty = settings.start == "pool"
        for number in range(1, 1 + count):
            if rank is None:
                shape = (channels, channels)
                whole = torch.zeros(shape) if empty else rotation(channels, number)
                self.maps.append(nn.Parameter(whole.float()))
                continue
            up = torch.zeros(channels, rank) if empty else rotation(channels, number)[:, :rank]
            self.up.append(nn.Parameter(up.float().contiguous()))
            down = rotation(channels, _FACTORS + number)[:rank]
            self.down.append(nn.Parameter(down.float().contiguous()))

    def detail(self, members: Tensor) -> Tensor:
        """The higher coefficients, each through its own map."""
        basis = self.basis.to(members.dtype)
        total = torch.zeros_like(members[:, 0])
        for number, row in enumerate(basis):
            found = torch.einsum("j,njc->nc", row, members)
            for matrix in self._steps(number):
                found = nn.functional.linear(found, matrix.to(members.dtype))
            total = total + found
        return total

    def _steps(self, number: int) -> tuple[Tensor, ...]:
        if len(self.maps):
            return (self.maps[number],)
        return self.down[number], self.up[number]


class AttentionMerging(Merging):
    """y = mean + O a, a the attention of a query made of the mean over the group's members
    (grouped cross-attention as in DocOwl2, arXiv 2409.03420).

    q = Q u(mean) + b, k_j = K (u(x_j) + p_j), v_j = V x_j, with u a division by the root mean
    square of the channels, so that features of any size suit, and p_j the learned place of a
    member. O is zero at first. Levels of the deep stack are averaged: what the attention of the
    features chose is no choice for them.
    """

    def __init__(self, settings: MergeSettings, channels: int) -> None:
        """Raises UserError for channels that are no multiple of the heads."""
        super().__init__()
        if channels % settings.heads:
            allowed = f"a divisor of the tokens' {channels} channels"
            raise UserError(fault("heads", settings.heads, allowed))
        self._heads = settings.heads
        self.query = nn.Parameter(rotation(channels, _QUERY).float())
        self.bias = nn.Parameter(torch.zeros(channels))
        self.key = nn.Parameter(rotation(channels, _KEY).float())
        self.value = nn.Parameter(rotation(channels, _VALUE).float())
        generator = torch.Generator().manual_seed(_PLACES)
        self.places = nn.Parameter(torch.randn(settings.size, channels, generator=generator))
        self.output = nn.Parameter(torch.zeros(channels, channels))

    def detail(self, members: Tensor) -> Tensor:
        """O a."""
        dtype, linear = members.dtype, nn.functional.linear
        places = self.places.to(dtype)
        query = linear(_even(members.mean(dim=1)), self.query.to(dtype), self.bias.to(dtype))
        keys = linear(_even(members) + places, self.key.to(dtype))
        values = linear(members, self.value.to(dtype))
        apart = (self._heads, -1)
        query, keys, values = (part.unflatten(-1, apart) for part in (query, keys, values))
        logits = torch.einsum("nhd,njhd->nhj", query, keys) / math.sqrt(query.shape[-1])
        found = torch.einsum("nhj,njhd->nhd", logits.softmax(dim=-1), values)
        return linear(found.flatten(1), self.output.to(dtype))

    def level(self, members: Tensor) -> Tensor:
        """The mean."""
        return members.mean(dim=1)


def _even(values: Tensor) -> Tensor:
    """Divided by the root mean square of the channels; zeros stay."""
    return values * torch.rsqrt(values.square().mean(dim=-1, keepdim=True) + 1e-12)


def make_merging(settings: MergeSettings, channels: int) -> Merging:
    """The network of these settings. Raises UserError for channels that they do not suit."""
    forms = {"linear": LinearMerging, "dct": DctMerging, "attention": AttentionMerging}
    return forms[settings.form](settings, channels)


def turned(
    network: Merging | None, settings: MergeSettings, tokens: Tensor, states: Tensor
) -> None:
    """See `LinearMerging.turn`; nothing where it does not begin so."""
    if isinstance(network, LinearMerging) and settings.start == "quiet":
        network.turn(tokens, states)


def through(merge: Callable[[Tensor], Tensor], features: Tensor, places: Tensor) -> Tensor:
    """What `merge` makes of the groups at `places`, int64 [n, g], of features [N, channels]:
    [n, channels] in their dtype. Computed in float32, of float64 in float64.
    """
    return merge(features[places].to(working_dtype(features.dtype))).to(features.dtype)


def working_dtype(dtype: torch.dtype) -> torch.dtype:
    """What features of this dtype are computed in."""
    return torch.float64 if dtype is torch.float64 else torch.float32
