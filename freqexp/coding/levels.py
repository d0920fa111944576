"""Entropy coding of the levels of a block transform: which are kept, how large, of which sign.

Along the diagonals of a block, low frequencies first, all blocks at once:

- masks: whether a level is kept, given the sizes of five lower frequencies of its block and a band;
- values: the bit length of a kept level's excess over the smallest kept one, given the same sizes,
  then its second highest bit given the length, then the other bits and the sign as they are. A DC
  is coded as the difference to the block before, bit length and all;
- scales: the probability tables of both, one byte an entry.

The tables are those of the page itself, so the length is the zero-order entropy of these symbols in
their contexts, plus the tables.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from freqexp.coding import entropy
from freqexp.coding.bitstream import BitstreamError, Cursor, varint
from freqexp.coding.entropy import Codes
from freqexp.coding.integer_dct import Ints
from freqexp.coding.sized_bits import (
    LENGTHS,
    SIZE_OF_LENGTH,
    Integers,
    Lengths,
    SizedBits,
    bit_length,
    excess_of,
)

SIZES = 12
BANDS = 6
_TABLES = (*[BANDS] * SIZES, *[LENGTHS] * (SIZES + 2))
_NEIGHBOURS = ((0, 1, 2), (1, 0, 2), (1, 1, 1), (0, 2, 1), (2, 0, 1))


@dataclass(frozen=True)
class CodedLevels:
    """Coded levels. smallest: the smallest kept magnitude that is no DC."""

    smallest: int
    masks: bytes
    values: bytes
    scales: bytes


@dataclass(frozen=True, eq=False)
class Tables:
    """Codes (see `entropy`) of the probabilities of a page.

    kept: [SIZES * BANDS]. lengths: [SIZES + 1, LENGTHS], the last row for DCs. second: [LENGTHS].
    """

    kept: Codes
    lengths: Codes
    second: Codes

    def pack(self) -> bytes:
        """As bytes."""
        return entropy.pack_rows([*self.kept.reshape(SIZES, BANDS), *self.lengths, self.second])

    @staticmethod
    def unpack(data: bytes) -> Tables:
        """Inverse of `pack`. Raises BitstreamError."""
        rows = entropy.unpack_rows(data, _TABLES)
        tables = Tables(np.concatenate(rows[:SIZES]), np.stack(rows[SIZES:-1]), rows[-1])
        if tables.lengths[:-1, 0].any():
            raise BitstreamError("scales: a kept level of no length")
        return tables


def encode_levels(levels: Ints, predicted: bool = False) -> CodedLevels:
    """Code levels, int16 [rows, block, columns, block] (see `integer_dct.forward`).

    predicted: blocks are what a prediction leaves, so DCs are coded as they are, not as differences
    to the block before.
    """
    signed = _block_major(levels)
    if not predicted:
        signed[0, 0] = np.diff(signed[0, 0], prepend=0)
    smallest, excess = excess_of(signed)
    lengths = bit_length(excess)
    steps = list(_encoder_steps(lengths))
    sizes = SizedBits(lengths.ravel())
    second, rest = sizes.split(excess.ravel())
    tables = _tables(steps, lengths[0, 0], sizes, second)
    masks, values = entropy.Encoder(), entropy.Encoder()
    values.symbols(lengths[0, 0].astype(np.int32), tables.lengths[SIZES])
    probability = entropy.flag_probabilities(tables.kept)
    for context, kept, found in steps:
        masks.flags(kept, probability[context])
        for size, symbols in enumerate(_by_size(context[kept] // BANDS, found)):
            values.symbols(symbols.astype(np.int32), tables.lengths[size])
    values.flags(second, entropy.flag_probabilities(tables.second)[sizes.with_second])
    coded = values.data()
    negative = (signed.ravel()[sizes.places] < 0).astype(np.int64)
    raw = entropy.pack_bits([*zip(rest, sizes.rest_bits, strict=True), (negative, 1)])
    return CodedLevels(smallest, masks.data(), varint(len(coded)) + coded + raw, tables.pack())


def decode_levels(
    coded: CodedLevels, shape: tuple[int, int, int, int], highest: int, predicted: bool = False
) -> Ints:
    """Inverse of `encode_levels`: int16 of `shape` = (rows, block, columns, block).

    Raises BitstreamError for what no encoder writes, a level beyond `highest` included.
    """
    rows, block, columns, _ = shape
    if not 1 <= coded.smallest <= highest:
        raise BitstreamError(f"values: smallest level {coded.smallest}, allowed: 1 to {highest}")
    tables = Tables.unpack(coded.scales)
    cursor = Cursor(coded.values, "values")
    masks, values = entropy.Decoder(coded.masks, "masks"), entropy.Decoder(cursor.block(), "values")
    lengths = np.zeros((block, block, rows * columns), dtype=np.uint8)
    dc = values.symbols(rows * columns, tables.lengths[SIZES])
    _decode_lengths(lengths, tables, masks, values)
    lengths[0, 0] = dc
    sizes = SizedBits(lengths.ravel())
    if not tables.second[sizes.with_second].all():
        raise BitstreamError("values: second bits of a length that has no table")
    probability = entropy.flag_probabilities(tables.second)[sizes.with_second]
    second = values.flags(probability)
    masks.end()
    values.end()
    raw = cursor.take(len(cursor.data) - cursor.at)
    groups = [*zip(sizes.counts, sizes.rest_bits, strict=True), (len(sizes.places), 1)]
    *rest, negative = entropy.unpack_bits(raw, groups, "values")
    signed = np.zeros(lengths.size, dtype=np.int64)
    signed[sizes.order] = sizes.join(second, rest)
    signed[sizes.places[sizes.places >= rows * columns]] += coded.smallest - 1
    signed[sizes.places[negative > 0]] *= -1
    planes = signed.reshape(lengths.shape)
    if not predicted:
        planes[0, 0] = np.cumsum(planes[0, 0])
    if int(np.abs(planes).max()) > highest:
        raise BitstreamError(f"values: a level beyond {highest}, the highest of a page")
    by_row = planes.astype(np.int16).reshape(block, block, rows, columns)
    return np.ascontiguousarray(by_row.transpose(2, 0, 3, 1))


def entropy_bits(levels: Ints) -> tuple[float, float]:
    """Zero-order entropy of the masks' and of the values' symbols in their contexts, in bits.

    The bits that are stored as they are count as such. This is what the coder is measured against.
    """
    signed = _block_major(levels)
    signed[0, 0] = np.diff(signed[0, 0], prepend=0)
    excess = excess_of(signed)[1]
    lengths = bit_length(excess)
    steps = list(_encoder_steps(lengths))
    sizes = SizedBits(lengths.ravel())
    second = sizes.split(excess.ravel())[0]
    kept, symbols, seconds = _histograms(steps, lengths[0, 0], sizes, second)
    raw = int(np.dot(sizes.counts, sizes.rest_bits)) + len(sizes.places)
    return _entropy(kept), _entropy(symbols) + _entropy(seconds) + raw


def _entropy(counts: Integers) -> float:
    """Bits of all symbols of the rows of `counts` [contexts, symbols], each with its own odds."""
    total = counts.sum(axis=1, keepdims=True)
    share = np.divide(counts, total, where=counts > 0, out=np.ones(counts.shape))
    return float(-(counts * np.log2(share)).sum())


def _block_major(levels: Ints) -> Integers:
    """Levels as [block, block, blocks], one plane for each frequency."""
    block = levels.shape[1]
    planes = levels.transpose(1, 3, 0, 2).reshape(block, block, -1)
    return np.ascontiguousarray(planes, dtype=np.int64)


def _contexts(known: Lengths, diagonal: int) -> tuple[Integers, Integers, Lengths]:
    """Rows, columns and contexts [n, blocks] of the levels of one diagonal of all blocks.

    known: [2 + block, 2 + block, blocks], bit lengths behind two rows and columns of zeros, right
    on all diagonals before; that of DCs is 0.
    """
    block = known.shape[0] - 2
    u = np.arange(max(0, diagonal - block + 1), min(diagonal, block - 1) + 1)
    v = diagonal - u
    total = np.zeros((len(u), known.shape[2]), dtype=np.int32)
    for up, left, weight in _NEIGHBOURS:
        total += weight * SIZE_OF_LENGTH[known[u + 2 - up, v + 2 - left]]
    size = np.minimum(bit_length(total), SIZES - 1)
    band = diagonal * BANDS // (2 * block - 1)
    return u, v, size * np.uint8(BANDS) + np.uint8(band)


_Step = tuple[Lengths, npt.NDArray[np.bool_], Lengths]


def _encoder_steps(lengths: Lengths) -> Iterator[_Step]:
    """For each diagonal but the DC's: contexts, whether kept, and the lengths of the kept."""
    known = np.pad(lengths, ((2, 0), (2, 0), (0, 0)))
    known[2, 2] = 0
    for diagonal in range(1, 2 * len(lengths) - 1):
        u, v, context = _contexts(known, diagonal)
        found = lengths[u, v].ravel()
        kept = found > 0
        yield context.ravel(), kept, found[kept]


def _decode_lengths(
    lengths: Lengths, tables: Tables, masks: entropy.Decoder, values: entropy.Decoder
) -> None:
    """Fill in `lengths` [block, block, blocks], all but those of DCs."""
    known = np.pad(lengths, ((2, 0), (2, 0), (0, 0)))
    probability = entropy.flag_probabilities(tables.kept)
    for diagonal in range(1, 2 * len(lengths) - 1):
        u, v, context = _contexts(known, diagonal)
        if not tables.kept[context].all():
            raise BitstreamError("masks: a context has no table")
        kept = masks.flags(probability[context.ravel()])
        size = context.ravel()[kept] // BANDS
        order = np.argsort(size, kind="stable")
        counts = np.bincount(size, minlength=SIZES)
        found = [values.symbols(int(n), tables.lengths[i]) for i, n in enumerate(counts)]
        chosen = np.zeros(context.size, dtype=np.uint8)
        chosen[np.flatnonzero(kept)[order]] = np.concatenate(found)
        known[u + 2, v + 2] = chosen.reshape(context.shape)
    lengths[:] = known[2:, 2:]


def _by_size(size: Lengths, symbols: Lengths) -> list[Lengths]:
    """The symbols of each size, in their order."""
    counts = np.bincount(size, minlength=SIZES)
    return np.split(symbols[np.argsort(size, kind="stable")], np.cumsum(counts)[:-1])


def _histograms(
    steps: list[_Step], dc: Lengths, sizes: SizedBits, second: npt.NDArray[np.bool_]
) -> tuple[Integers, Integers, Integers]:
    """How often each symbol occurs in each context: kept [contexts, 2], lengths, second bits."""
    kept = np.zeros(SIZES * BANDS * 2, dtype=np.int64)
    lengths = np.zeros((SIZES + 1) * LENGTHS, dtype=np.int64)
    for context, flags, found in steps:
        kept += np.bincount(context * np.uint8(2) + flags, minlength=len(kept))
        key = context[flags] // BANDS * np.int64(LENGTHS) + found
        lengths += np.bincount(key, minlength=len(lengths))
    lengths[SIZES * LENGTHS :] = np.bincount(dc, minlength=LENGTHS)
    seconds = np.bincount(sizes.with_second * 2 + second, minlength=2 * LENGTHS)
    return kept.reshape(-1, 2), lengths.reshape(-1, LENGTHS), seconds.reshape(-1, 2)


def _tables(
    steps: list[_Step], dc: Lengths, sizes: SizedBits, second: npt.NDArray[np.bool_]
) -> Tables:
    kept, lengths, seconds = _histograms(steps, dc, sizes, second)
    return Tables(
        entropy.flag_codes(kept[:, 1], kept.sum(axis=1)),
        np.stack([entropy.symbol_codes(row) for row in lengths]),
        entropy.flag_codes(seconds[:, 1], seconds.sum(axis=1)),
    )
