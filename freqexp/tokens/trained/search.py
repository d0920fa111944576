"""Which code words stand for a vector: beam search over the books, and iterated improvement."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

_GRID = 2.0**30
_MOST_SCORES = 1 << 22
_MOST_ROUNDS = 20
_MOST_PRODUCTS = 1 << 10


def assigned(
    vectors: Tensor,
    books: Tensor,
    beam: int = 8,
    improve: bool = False,
) -> Tensor:
    """Indices int64 [n, M] of the code words whose sum is near each vector of [n, channels].

    books: [M, K, channels]. The `beam` best sums of the first books go on to the next one; with a
    beam of 1 that is the residual quantiser's greedy choice. improve: each of them is then improved
    by iterated conditional modes, one book at a time with the others held, until nothing changes,
    and the best is taken (local search as in LSQ, Martinez et al. 2016).

    Computed in float64; distances are rounded to 2^-30 of the largest squared norm, so that equal
    ones go by index on every machine.
    """
    if not books.numel() or not len(vectors):
        return torch.zeros((len(vectors), len(books)), dtype=torch.int64, device=vectors.device)
    search = _Search(books.double(), beam)
    rows = max(1, _MOST_SCORES // (beam * books.shape[1]))
    return torch.cat([search(part.double(), improve) for part in vectors.split(rows)])


class _Search:
    """The search for the vectors of a part; what does not depend on them is made once."""

    def __init__(self, books: Tensor, beam: int) -> None:
        self._books = books
        self._beam = beam
        self._lone = books.square().sum(2)
        self._most = self._lone.amax()
        self._products: dict[tuple[int, int], Tensor] = {}

    def __call__(self, vectors: Tensor, improve: bool) -> Tensor:
        """int64 [n, M]."""
        # What a code word adds to the squared distance by itself: [n, K] of each book.
        own = [
            lone - 2 * (vectors @ book.T)
            for lone, book in zip(self._lone, self._books, strict=True)
        ]
        most = torch.maximum(self._most, vectors.square().sum(1).amax())
        grid = _GRID / most.clamp_min(torch.finfo(torch.float64).tiny)
        found, scores = self._begun(own, grid)
        if improve and len(own) > 1:
            found, scores = self._improved(own, found, grid)
        best = scores.argmin(dim=1)
        return found[torch.arange(len(found), device=found.device), best]

    def _begun(self, own: list[Tensor], grid: Tensor) -> tuple[Tensor, Tensor]:
        """The best sums, int64 [n, up to beam, M], and their rounded scores."""
        size, count = own[0].shape[1], len(own[0])
        found = torch.zeros((count, 1, 0), dtype=torch.int64, device=own[0].device)
        scores = own[0].new_zeros((count, 1))
        for number, alone in enumerate(own):
            step = alone[:, None] + self._beside(found, number, range(number))
            total = (scores[:, :, None] + step).flatten(1)
            width = min(self._beam, total.shape[1])
            best = _least(total * grid, width)
            scores = total.gather(1, best)
            before = found.gather(1, (best // size)[:, :, None].expand(-1, -1, number))
            found = torch.cat([before, (best % size)[:, :, None]], dim=2)
        return found, (scores * grid).round_()

    def _improved(self, own: list[Tensor], found: Tensor, grid: Tensor) -> tuple[Tensor, Tensor]:
        """The same after iterated conditional modes."""
        numbers = range(len(own))
        # Only of these rows has a code word changed in the last round.
        active = torch.arange(len(found), device=found.device)
        for _ in range(_MOST_ROUNDS):
            part = found[active]
            for number in numbers:
                others = [other for other in numbers if other != number]
                scores = own[number][active, None] + self._beside(part, number, others)
                part[:, :, number] = (scores * grid).round_().argmin(dim=2)
            changed = (part != found[active]).flatten(1).any(dim=1)
            found[active] = part
            active = active[changed]
            if not len(active):
                break
        total = own[0].new_zeros(found.shape[:2])
        for number in numbers:
            scores = own[number][:, None] + self._beside(found, number, range(number))
            scores = scores.expand(-1, found.shape[1], -1)
            total += scores.gather(2, found[:, :, number : number + 1])[:, :, 0]
        return found, (total * grid).round_()

    def _beside(self, found: Tensor, number: int, others: Iterable[int]) -> Tensor | float:
        """What a code word adds together with those of other books: [n, candidates, K]."""
        total: Tensor | float = 0.0
        for other in others:
            index = found[:, :, other]
            if self._books.shape[1] > _MOST_PRODUCTS:
                used, index = index.unique(return_inverse=True)
                total = total + (2 * self._books[other][used] @ self._books[number].T)[index]
                continue
            if (other, number) not in self._products:
                products = 2 * self._books[other] @ self._books[number].T
                self._products[other, number] = products
            total = total + self._products[other, number][index]
        return total


def _least(scores: Tensor, width: int) -> Tensor:
    """Where the least of each row are, equal ones in order: int64 [n, width]."""
    if width == 1:
        return scores.round().argmin(dim=1, keepdim=True)
    # Whole numbers of which no two are equal: topk promises no order of equal ones.
    columns = torch.arange(scores.shape[1], device=scores.device)
    return (scores.round().long() * scores.shape[1] + columns).topk(width, 1, False).indices


def summed(books: Tensor, indices: Tensor) -> Tensor:
    """The sums [n, channels] of the code words [n, M]."""
    total = books.new_zeros((len(indices), books.shape[2]))
    for number, book in enumerate(books):
        total = total + book[indices[:, number]]
    return total
