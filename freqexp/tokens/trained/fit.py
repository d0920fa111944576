"""Codebooks of given vectors: k-means, residual k-means, and additive ones by least squares."""

from __future__ import annotations

import torch
from torch import Tensor

from freqexp.tokens.trained.search import assigned, summed

MOST_VECTORS = 1 << 17
"""Of more than these a codebook is made of so many, drawn evenly."""

_TRIED, _TRIED_EACH = 1 << 12, 32
_JOINT_BEAM = 4
_ROUNDS = 64
_RIDGE = 1e-4


def fitted(
    vectors: Tensor,
    kind: str,
    count: int,
    size: int,
    beam: int = 8,
    steps: int = 32,
    tries: int = 3,
) -> Tensor:
    """`count` books of `size` code words for vectors [n, channels]: float64 [M, K, channels].

    kind: plain (one book), residual (each book by k-means of what the books before leave) or
    additive (all books together by least squares, see `_joint`). Fewer code words where there are
    fewer vectors. steps: at most so many times code words and assignments are made in turn. tries:
    of how many attempts at additive books the best is taken. Deterministic.
    """
    vectors = _evenly(vectors, MOST_VECTORS).double()
    size = min(size, len(vectors))
    if kind == "additive" and count > 1:
        return _joint(vectors, count, size, min(beam, _JOINT_BEAM), steps, tries)
    return _residual(vectors, count, size, beam, steps)


def _residual(vectors: Tensor, count: int, size: int, beam: int, steps: int) -> Tensor:
    books = vectors.new_zeros((0, size, vectors.shape[1]))
    for number in range(count):
        left = vectors - summed(books, assigned(vectors, books, beam))
        books = torch.cat([books, k_means(left, size, steps, number)[None]])
    return books


def k_means(vectors: Tensor, size: int, steps: int = 32, seed: int = 0) -> Tensor:
    """Code words [K, channels] by Lloyd's algorithm from seeds drawn by their squared distance
    (k-means++, Arthur and Vassilvitskii 2007; of many code words several in a round). A code word
    without a vector becomes the vector that is farthest from its own.
    """
    book = _seeds(vectors, size, torch.Generator().manual_seed(seed))
    before = None
    for _ in range(steps):
        index = assigned(vectors, book[None], 1)[:, 0]
        if before is not None and torch.equal(index, before):
            break
        before = index
        book = _means(vectors, index, book)
    return book


def least_squares(vectors: Tensor, indices: Tensor, books: Tensor) -> Tensor:
    """The books whose sums at `indices` [n, M] are nearest the vectors, drawn to the given books
    a little, so that code words without vectors stay.
    """
    count, size, channels = books.shape
    total = count * size
    places = indices + size * torch.arange(count, device=indices.device)
    gram = books.new_zeros(total * total)
    for one in range(count):
        for other in range(count):
            gram += torch.bincount(places[:, one] * total + places[:, other], minlength=len(gram))
    gram = gram.view(total, total)
    gram.diagonal().add_(_RIDGE * max(1.0, len(vectors) / total))
    left, wanted = vectors - summed(books, indices), books.new_zeros(total, channels)
    for one in range(count):
        wanted.index_add_(0, places[:, one], left)
    solved: Tensor = torch.linalg.solve(gram, wanted)
    return books + solved.view(count, size, channels)


def _evenly(vectors: Tensor, most: int) -> Tensor:
    """At most so many of the vectors."""
    count = len(vectors)
    if count <= most:
        return vectors
    return vectors[torch.arange(most, device=vectors.device) * count // most]


def _seeds(vectors: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Vectors drawn as code words: [K, channels]."""
    first = int(torch.randint(len(vectors), (1,), generator=generator))
    chosen = vectors[first : first + 1]
    nearest = (vectors - chosen).square().sum(1)
    while len(chosen) < size:
        number = min(size - len(chosen), -(-size // _ROUNDS))
        limits = nearest.cpu().cumsum(0)
        points = torch.rand(number, generator=generator, dtype=torch.float64) * limits[-1]
        index = torch.searchsorted(limits, points).clamp_(max=len(vectors) - 1)
        new = vectors[index.to(vectors.device)]
        chosen = torch.cat([chosen, new])
        nearest = torch.minimum(nearest, torch.cdist(vectors, new).square().amin(1))
    return chosen


def _means(vectors: Tensor, index: Tensor, book: Tensor) -> Tensor:
    """The mean of the vectors of each code word."""
    counts = torch.bincount(index, minlength=len(book))
    sums = torch.zeros_like(book).index_add_(0, index, vectors)
    means = sums / counts.clamp_min(1)[:, None]
    empty = (counts == 0).nonzero().flatten()
    if len(empty):
        far = (vectors - means[index]).square().sum(1).sort(descending=True, stable=True).indices
        means[empty[: len(far)]] = vectors[far[: len(empty)]]
    return means


def _joint(vectors: Tensor, count: int, size: int, beam: int, steps: int, tries: int) -> Tensor:
    """Additive books: those that are best of a part of the vectors in a few tries, then code words
    by least squares and assignments in turn on all.
    """
    part = _evenly(vectors, max(_TRIED, _TRIED_EACH * count * size))
    begun = _residual(part, count, size, beam, steps)
    best, least = begun, float("inf")
    for seed in range(tries):
        books, error = _annealed(part, begun, beam, steps, seed)
        if error < least:
            best, least = books, error
    for _ in range(max(1, steps // 4)):
        best = least_squares(vectors, assigned(vectors, best, beam, improve=True), best)
    return best


def _annealed(
    vectors: Tensor, books: Tensor, beam: int, steps: int, seed: int
) -> tuple[Tensor, float]:
    """The books, and their squared error, after steps with noise on the code words that falls to
    nothing, so that the first assignments are not the last (SR-D, Martinez et al. 2018).
    """
    generator = torch.Generator().manual_seed(seed)
    spread = vectors.std(dim=0, correction=0) / len(books)
    indices = assigned(vectors, books, beam, improve=True)
    for step in range(steps):
        books = least_squares(vectors, indices, books)
        heat = (1 - (step + 1) / steps) ** 0.5
        noise = torch.randn(books.shape, generator=generator, dtype=torch.float64)
        noisy = books + heat * spread * noise.to(books.device)
        indices = assigned(vectors, noisy, beam, improve=True)
    books = least_squares(vectors, indices, books)
    return books, float((vectors - summed(books, indices)).square().sum())
