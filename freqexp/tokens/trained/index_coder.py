"""Entropy coding of the codes of a page, in context."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from freqexp.coding.adaptive import Adaptive, Coder, Reader, Writer
from freqexp.coding.bitstream import BitstreamError
from freqexp.tokens.trained.prior import Prior

Integers = npt.NDArray[np.int64]


class _Script:
    """What encoder and decoder share: the same steps in the same order, with whole weights.

    With a prior the weights are its tables'. Without one they are those of the book's codes before
    on the page.
    """

    def __init__(self, coder: Coder) -> None:
        self._coder = coder

    def band(
        self,
        given: Integers | None,
        before: Integers,
        books: int,
        size: int,
        prior: Prior | None,
    ) -> Integers:
        """Code the indices [n, books], or decode them (None). before: [n], see `left_of`."""
        count = len(before)
        found = np.full((count + 1, books), size, dtype=np.int64)
        weights = None if prior is None else prior.weights()
        learning = [Adaptive(size) for _ in range(books)]
        for place, left in enumerate(before.tolist()):
            for book in range(books):
                value = None if given is None else int(given[place, book])
                if prior is None or weights is None:
                    found[place, book] = learning[book].code(self._coder, value)
                    continue
                # The row behind the last holds what stands for no token.
                context = found[left, 0] if book == 0 else found[place, 0]
                table = weights[book, prior.classes[book, context]]
                found[place, book] = self._coder.symbol(table, value)
        return found[:count]


def contexts_of(indices: Integers, before: Integers, size: int) -> Integers:
    """The context of each code [n, M], as the coder takes them."""
    padded = np.append(indices[:, :1], [[size]], axis=0)[:, 0]
    found = np.repeat(indices[:, :1], indices.shape[1], axis=1)
    found[:, :1] = padded[before][:, np.newaxis]
    return found


def encode(
    bands: Sequence[Integers],
    before: Sequence[Integers],
    sizes: Sequence[int],
    priors: Sequence[Prior | None],
) -> bytes:
    """Codes [n, M] of each band as bytes."""
    writer = Writer()
    script = _Script(writer)
    for indices, left, size, prior in zip(bands, before, sizes, priors, strict=True):
        script.band(indices, left, indices.shape[1], size, prior)
    return writer.data()


def decode(
    data: bytes,
    before: Sequence[Integers],
    books: Sequence[int],
    sizes: Sequence[int],
    priors: Sequence[Prior | None],
) -> list[Integers]:
    """Inverse of `encode`. Raises BitstreamError."""
    most = sum(len(left) * count for left, count in zip(before, books, strict=True))
    reader = Reader(data, most)
    script = _Script(reader)
    found = [
        script.band(None, left, count, size, prior)
        for left, count, size, prior in zip(before, books, sizes, priors, strict=True)
    ]
    reader.end()
    if any(band.size and band.max() >= size for band, size in zip(found, sizes, strict=True)):
        raise BitstreamError("indices: a code word that the book does not have")
    return found
