"""What makes tokens of codes again: code words, bands, centre; and the file of it."""

from __future__ import annotations

import functools
import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from freqexp.coding.bitstream import BitstreamError, Cursor, varint
from freqexp.coding.transforms import band_positions, dct2, idct2
from freqexp.tokens.coefficients import pack_planes, unpack_planes
from freqexp.tokens.container import MAX_VALUES
from freqexp.tokens.trained.prior import Prior
from freqexp.tokens.trained.search import assigned, summed
from freqexp.tokens.trained.settings import MAX_BOOKS, MAX_CODES, MAX_SIDE

NAME_BYTES = 4
_EDGES = struct.Struct("<dd")
_MAX_GRID = 1 << 16

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Codes:
    """Everything that a decoder needs beside the indices of a page.

    group: rows and columns of tokens that one stands for. edges: of the bands of radial frequency
    in the DCT domain; None: one band, of the tokens themselves. books: of each band, float16
    [M, K, channels]; M = 0: it is zero. center: float16 [rows, channels] and [columns, channels],
    whose sum is the mean token at each place; of one row each: everywhere. priors: of each band;
    None: of codes that nothing is known of.
    """

    group: tuple[int, int]
    edges: tuple[float, float] | None
    books: tuple[Tensor, ...]
    center: tuple[Tensor, Tensor] | None = None
    priors: tuple[Prior, ...] | None = None

    @property
    def channels(self) -> int:
        """Of a token."""
        return self.books[0].shape[2]

    @functools.cached_property
    def data(self) -> bytes:
        """The codebook as a file."""
        head = bytes([*self.group, len(self.books)])
        head += b"" if self.edges is None else _EDGES.pack(*self.edges)
        parts = [varint(len(head)), head, varint(self.channels)]
        for book in self.books:
            parts += [varint(book.shape[0]), varint(book.shape[1]), _block(pack_planes(book))]
        for side in self.center or ():
            parts += [varint(len(side)), _block(pack_planes(side))]
        parts += [b"\0"] if self.center is None else []
        parts += [_block(prior.pack()) for prior in self.priors or ()]
        return b"".join(parts)

    @functools.cached_property
    def name(self) -> bytes:
        """A hash of the file."""
        return hashlib.sha256(self.data).digest()[:NAME_BYTES]

    def fits(self, grid: tuple[int, int]) -> bool:
        """Whether there is a mean token for each place of such a grid of (merged) tokens."""
        sides = (1, 1) if self.center is None else tuple(map(len, self.center))
        return sides in ((1, 1), grid)

    def bands(self, grid: tuple[int, int]) -> tuple[Tensor, ...]:
        """Raster positions int64 [n] of each band."""
        if self.edges is None:
            return (torch.arange(grid[0] * grid[1]),)
        return band_positions(grid, self.edges)

    def split(self, features: Tensor, grid: tuple[int, int]) -> list[Tensor]:
        """Features [rows * columns, channels] as what each band codes: float64 [n, channels]."""
        values = features.double().view(*grid, -1) - self._mean(features.device)
        if self.edges is not None:
            values = dct2(values, (0, 1))
        values = values.flatten(0, 1)
        return [values[band.to(values.device)] for band in self.bands(grid)]

    def assign(self, parts: Sequence[Tensor], beam: int, improve: bool) -> list[Tensor]:
        """Indices int64 [n, M] of each band, see `search.assigned`."""
        return [
            assigned(part, book.to(part.device), beam, improve)
            for part, book in zip(parts, self.books, strict=True)
        ]

    def restore(self, indices: Sequence[Tensor], grid: tuple[int, int]) -> Tensor:
        """Inverse of `split`, of the code words: float64 [rows * columns, channels]."""
        device = indices[0].device
        total = torch.zeros(grid[0] * grid[1], self.channels, dtype=torch.float64, device=device)
        for band, book, index in zip(self.bands(grid), self.books, indices, strict=True):
            total[band.to(device)] = summed(book.to(device).double(), index)
        if self.edges is not None:
            total = idct2(total.view(*grid, -1), (0, 1)).flatten(0, 1)
        return (total.view(*grid, -1) + self._mean(device)).flatten(0, 1)

    def _mean(self, device: torch.device) -> Tensor:
        """float64, [rows, columns, channels] or of size 1 along the first two."""
        if self.center is None:
            return torch.zeros(1, 1, 1, dtype=torch.float64, device=device)
        down, across = (side.to(device).double() for side in self.center)
        return down[:, None] + across[None]

    @staticmethod
    def unpack(data: bytes, priors: bool) -> Codes:
        """Inverse of `data`, on the CPU. priors: whether they are there. Raises BitstreamError."""
        cursor = Cursor(data, "codebook")
        head, channels = cursor.block(), cursor.varint()
        if len(head) not in (3, 3 + _EDGES.size) or not 0 < channels <= MAX_VALUES:
            raise BitstreamError("codebook: not the head of a codebook")
        edges = _EDGES.unpack(head[3:]) if len(head) > 3 else None
        if not all(1 <= side <= MAX_SIDE for side in head[:2]) or head[2] != (3 if edges else 1):
            raise BitstreamError("codebook: groups or bands that no codebook has")
        if edges and not 0 <= edges[0] <= edges[1] < float("inf"):
            raise BitstreamError(f"codebook: bands that end at {edges}")
        books = []
        for _ in range(head[2]):
            shape = (cursor.varint(), cursor.varint(), channels)
            within = shape[0] <= MAX_BOOKS and 1 <= shape[1] <= MAX_CODES
            if not within or np.prod(shape) > MAX_VALUES:
                raise BitstreamError(f"codebook: {shape[0]} books of {shape[1]} x {channels}")
            books.append(_finite(unpack_planes(cursor.block(), shape, torch.float16)))
        sides: list[Tensor] = []
        while len(sides) < 2 and (rows := cursor.varint()):
            if rows > _MAX_GRID or rows * channels > MAX_VALUES:
                raise BitstreamError(f"codebook: a centre of {rows} x {channels}")
            sides.append(_finite(unpack_planes(cursor.block(), (rows, channels), torch.float16)))
        if len(sides) == 1:
            raise BitstreamError("codebook: half a centre")
        known = None
        if priors:
            known = tuple(Prior.unpack(cursor.block(), *book.shape[:2]) for book in books)
        cursor.end()
        center = (sides[0], sides[1]) if sides else None
        return Codes((head[0], head[1]), edges, tuple(books), center, known)


def left_of(bands: Sequence[Tensor], columns: int) -> list[Integers]:
    """For each place of each band, where in the band the place on its left is: int64 [n], -1 where
    that is not in the band.
    """
    found = []
    for band in bands:
        places = band.numpy()
        at = np.searchsorted(places, places - 1).clip(max=max(len(places) - 1, 0))
        inside = (places % columns > 0) & (places[at] == places - 1) if len(places) else at > 0
        found.append(np.where(inside, at, -1))
    return found


def _block(data: bytes) -> bytes:
    return varint(len(data)) + data


def _finite(values: Tensor) -> Tensor:
    if not bool(torch.isfinite(values).all()):
        raise BitstreamError("codebook: a code word that is not finite")
    return values
