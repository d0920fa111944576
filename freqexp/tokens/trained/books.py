"""A band's codebooks in training: running means of what each code word stands for."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from freqexp.tokens.trained.prior import Prior
from freqexp.tokens.trained.search import summed

_MOST_RECENT = 4096
_EVEN = 1e-5
_LARGEST = float(torch.finfo(torch.float16).max)


class Books(nn.Module):
    """M books of K code words [M, K, channels], which follow the tokens and not a gradient.

    Buffers: codes; uses [M, K] and sums [M, K, channels], exponential moving averages over steps of
    how many vectors had a code word and of their sum (van den Oord et al. 2017, appendix A.1);
    classes and tables, the prior of the indices.
    """

    codes: Tensor
    uses: Tensor
    sums: Tensor
    classes: Tensor
    tables: Tensor

    def __init__(self, count: int, size: int, channels: int, joint: bool) -> None:
        """joint: of additive books, where a code word stands for what all others leave; else for
        what those of the books before do.
        """
        super().__init__()
        self._joint = joint
        self.register_buffer("codes", torch.zeros(count, size, channels))
        self.register_buffer("uses", torch.zeros(count, size))
        self.register_buffer("sums", torch.zeros(count, size, channels))
        flat = Prior.flat(count, size)
        self.register_buffer("classes", torch.from_numpy(flat.classes))
        self.register_buffer("tables", torch.from_numpy(flat.tables))
        self._counts: Tensor | None = None
        self._totals: Tensor | None = None
        self._recent: list[Tensor] = []

    def rounded(self) -> Tensor:
        """The code words as pages are coded with them: float16 [M, K, channels]."""
        return self.codes.clamp(-_LARGEST, _LARGEST).to(torch.float16)

    def prior(self) -> Prior:
        """The prior of the indices."""
        return Prior(self.classes.cpu().numpy(), self.tables.cpu().numpy())

    def set_prior(self, prior: Prior) -> None:
        """Keep another one."""
        self.classes.copy_(torch.from_numpy(np.ascontiguousarray(prior.classes)))
        self.tables.copy_(torch.from_numpy(np.ascontiguousarray(prior.tables)))

    def begin(self, vectors: Tensor, indices: Tensor, pages: int) -> None:
        """Begin with the code words as they are, and the means over so many pages of what
        they stand for: vectors [n, channels] with indices [n, M].
        """
        self._counts = self._totals = None
        self._recent = []
        counts, totals, _ = self._taken(vectors, indices)
        self.uses.copy_(counts / pages)
        self.sums.copy_(totals / pages)

    def observe(self, vectors: Tensor, indices: Tensor) -> None:
        """Take in vectors [n, channels] and the code words [n, M] that stand for them."""
        counts, totals, targets = self._taken(vectors, indices)
        self._counts = counts if self._counts is None else self._counts + counts
        self._totals = totals if self._totals is None else self._totals + totals
        recent = [*self._recent, targets]
        while sum(part.shape[1] for part in recent[1:]) >= _MOST_RECENT:
            recent = recent[1:]
        self._recent = recent

    def _taken(self, vectors: Tensor, indices: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Counts [M, K], sums [M, K, channels] and vectors [M, n, channels] of code words."""
        counts, totals = torch.zeros_like(self.uses), torch.zeros_like(self.sums)
        targets = totals.new_zeros((len(totals), *vectors.shape))
        for number, target in enumerate(self._targets(vectors.double(), indices)):
            targets[number] = target
            counts[number] = torch.bincount(indices[:, number], minlength=counts.shape[1])
            totals[number].index_add_(0, indices[:, number], targets[number])
        return counts, totals, targets

    def _targets(self, vectors: Tensor, indices: Tensor) -> list[Tensor]:
        """What the code word of each book is to stand for: [n, channels] each."""
        books = self.rounded().double()
        whole, before, found = summed(books, indices), torch.zeros_like(vectors), []
        for number, book in enumerate(books):
            own = book[indices[:, number]]
            found.append(vectors - (whole - own if self._joint else before))
            before = before + own
        return found

    def pending(self) -> list[Tensor]:
        """Counts and sums that were taken in since the last step."""
        if self._counts is None or self._totals is None:
            self._counts, self._totals = torch.zeros_like(self.uses), torch.zeros_like(self.sums)
        return [self._counts, self._totals]

    def step(self, decay: float) -> None:
        """Move towards the means of what was taken in since the last step."""
        if self._counts is None or self._totals is None or not bool(self._counts.any()):
            return
        self.uses.lerp_(self._counts, 1 - decay)
        self.sums.lerp_(self._totals, 1 - decay)
        self._counts = self._totals = None
        whole, size = self.uses.sum(1, keepdim=True), self.uses.shape[1]
        even = (self.uses + _EVEN) / (whole + size * _EVEN) * whole
        self.codes.copy_(self.sums / even.clamp_min(torch.finfo(even.dtype).tiny)[:, :, None])

    def replace(self, expire: float, seed: int) -> None:
        """Put vectors that were taken in since the last call in the place of code words that are
        used less often than `expire`.
        """
        generator = torch.Generator().manual_seed(seed)
        for number in range(len(self.codes)):
            dead = (self.uses[number] < expire).nonzero().flatten()
            seen = [part[number] for part in self._recent]
            if not len(dead) or not seen:
                continue
            vectors = torch.cat(seen)
            chosen = torch.randint(len(vectors), (len(dead),), generator=generator)
            self.codes[number, dead] = vectors[chosen.to(vectors.device)]
            self.uses[number, dead] = expire
            self.sums[number, dead] = expire * self.codes[number, dead]
        self._recent = []

    def figures(self, expire: float) -> list[tuple[float, float]]:
        """Of each book the share of code words that are used as often as `expire` or more, and the
        perplexity of their use: 1 (one code word does everything) to K (all alike).
        """
        found = []
        for uses in self.uses.double():
            share = uses / uses.sum().clamp_min(1e-30)
            entropy = -float((share * share.clamp_min(1e-30).log()).sum())
            found.append((float((uses >= max(expire, 1e-30)).double().mean()), math.exp(entropy)))
        return found
