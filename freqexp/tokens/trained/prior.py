"""What is known of codes before a page is coded: how often each occurs, given a code before it.

The context of the first book's code is that of the token on its left, the context of any other
book's the first book's code of the same token. Contexts are put in classes, so that the tables take
few bytes, and of each class there is a table of probabilities.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from freqexp.coding.adaptive import PRIOR
from freqexp.coding.bitstream import BitstreamError

CLASSES = 16
MOST_CODES = 1024
"""Of books with more code words than these there is one class: pairs of codes are too rare."""

_HALVES = 28
_STEPS = 30

Bytes = npt.NDArray[np.uint8]
Integers = npt.NDArray[np.int64]


def class_count(size: int) -> int:
    """How many classes the contexts of a book of `size` code words have."""
    return min(CLASSES, size + 1) if size <= MOST_CODES else 1


@dataclass(frozen=True, eq=False)
class Prior:
    """Of the books of a band.

    classes: uint8 [M, K + 1], the class of each context; the last is that without a token on the
    left. tables: uint8 [M, classes, K], the logarithm of 1 / probability in halves of a bit.
    """

    classes: Bytes
    tables: Bytes

    @property
    def valid(self) -> bool:
        """Whether there are such classes and probabilities."""
        classes, tables = self.classes.max(initial=0), self.tables.max(initial=0)
        return bool(classes < self.tables.shape[1] and tables <= _HALVES)

    def weights(self) -> Integers:
        """int64 [M, classes, K], each above 0, from tables alone: the same on every machine."""
        scale = max(PRIOR, 16 * self.tables.shape[2])
        halves = np.rint(scale * np.exp2(-np.arange(_HALVES + 1) / 2)).astype(np.int64)
        found: Integers = np.maximum(halves, 1)[self.tables]
        return found

    def pack(self) -> bytes:
        """As bytes."""
        import brotli

        return bytes(brotli.compress(self.classes.tobytes() + self.tables.tobytes(), lgwin=16))

    @staticmethod
    def unpack(data: bytes, books: int, size: int) -> Prior:
        """Inverse of `pack`. Raises BitstreamError."""
        import brotli

        try:
            found = np.frombuffer(brotli.decompress(data), dtype=np.uint8)
        except brotli.error as error:
            raise BitstreamError(f"codebook: {error}") from error
        contexts, classes = books * (size + 1), class_count(size)
        if len(found) != contexts + books * classes * size:
            raise BitstreamError("codebook: a table has a wrong length")
        prior = Prior(
            found[:contexts].reshape(books, size + 1),
            found[contexts:].reshape(books, classes, size),
        )
        if not prior.valid:
            raise BitstreamError("codebook: a class or a probability that no prior has")
        return prior

    @staticmethod
    def flat(books: int, size: int) -> Prior:
        """Of codes of which nothing is known: all alike."""
        tables = np.zeros((books, class_count(size), size), dtype=np.uint8)
        return Prior(np.zeros((books, size + 1), dtype=np.uint8), tables)


def prior_of(indices: Integers, contexts: Integers, size: int) -> Prior:
    """The prior of codes [n, M] of books of `size` code words in contexts [n, M], 0 to `size`."""
    books = indices.shape[1]
    found = Prior.flat(books, size)
    for book in range(books):
        context = contexts[:, book] if size <= MOST_CODES else np.zeros(len(indices), np.int64)
        rows = size + 1 if size <= MOST_CODES else 1
        counts = np.bincount(context * size + indices[:, book], minlength=rows * size)
        counts = counts.reshape(rows, size)
        marginal = (counts.sum(0) + 0.5) / (counts.sum() + 0.5 * size)
        classes = _classes(counts, marginal, class_count(size))
        share = (_joined(counts, classes, found.tables.shape[1]) + marginal).T
        share = (share / share.sum(0)).T
        found.classes[book, :rows] = classes
        found.tables[book] = np.minimum(np.rint(-2 * np.log2(share)), _HALVES)
    return found


def _classes(counts: Integers, marginal: npt.NDArray[np.float64], number: int) -> Integers:
    """The class of each context [rows], such that codes take few bits given their classes: contexts
    and tables in turn, as in information-theoretic clustering (Dhillon et al. 2003).
    """
    most = np.argsort(-counts.sum(1), kind="stable")[:number]
    tables = counts[most]
    before = None
    for _ in range(_STEPS):
        share = tables + 2 * marginal
        bits = -np.log2(share / share.sum(1, keepdims=True))
        classes: Integers = (counts @ bits.T).argmin(1)
        if before is not None and np.array_equal(before, classes):
            break
        before, tables = classes, _joined(counts, classes, number)
    return classes


def _joined(counts: Integers, classes: Integers, number: int) -> Integers:
    """Counts of the contexts of each class together."""
    total = np.zeros((number, counts.shape[1]), dtype=np.int64)
    np.add.at(total, classes, counts)
    return total
