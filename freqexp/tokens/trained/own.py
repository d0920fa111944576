"""Codebooks of one page's tokens alone."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass, field

import torch
from torch import Tensor

from freqexp.tokens.trained.codes import Codes
from freqexp.tokens.trained.fit import fitted
from freqexp.tokens.trained.settings import VqSettings

_STEPS = 4
_HELD = 16


@dataclass(frozen=True)
class _Vectors:
    """Vectors that are known by their content."""

    digest: bytes
    values: Tensor = field(compare=False)


def own_codes(features: Tensor, grid: tuple[int, int], settings: VqSettings) -> Codes:
    """Codebooks of one page's (merged) tokens alone: no mean, no prior."""
    group, nothing = (settings.merge.rows, settings.merge.columns), features.new_zeros(0, 1, 1)
    bands = len(settings.per_band)
    parts = Codes(group, settings.edges, (nothing,) * bands).split(features.cpu(), grid)
    books = []
    for part, count in zip(parts, settings.per_band, strict=True):
        digest = hashlib.sha256(part.numpy().tobytes()).digest()
        number = count if len(part) else 0
        books.append(_own_books(_Vectors(digest, part), settings.kind, number, settings.codes))
    return Codes(group, settings.edges, tuple(book.to(features.device) for book in books))


# A page is often compressed again: when a run warms up, and with the next settings of a sweep.
@functools.lru_cache(maxsize=_HELD)
def _own_books(vectors: _Vectors, kind: str, count: int, size: int) -> Tensor:
    """float16 [M, K, channels] on the CPU."""
    values = vectors.values
    if not count:
        return torch.zeros(0, 1, values.shape[1], dtype=torch.float16)
    limit = torch.finfo(torch.float16).max
    found = fitted(values, kind, count, size, steps=_STEPS, tries=1)
    return found.clamp(-limit, limit).to(torch.float16)
