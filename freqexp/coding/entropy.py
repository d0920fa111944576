"""Range coding with probabilities that are the same on every machine.

A probability is stored as one byte, its logarithm in eighths of a bit, found by comparing integers:
no logarithm or exponential of a platform's library decides a bit of the output. Rounding to an
eighth costs less than 0.001 bit a symbol.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from freqexp.coding.bitstream import BitstreamError, Cursor, varint

Codes = npt.NDArray[np.uint8]
Symbols = npt.NDArray[np.int32]
Counts = npt.NDArray[np.int64]

# 2^(-k / 8) in units of 2^-40, and the limits between neighbours in units of 2^-32.
_PROBABILITY = np.rint(np.exp2(40 - np.arange(256) / 8)) / 2.0**40
_LIMITS = np.rint(np.exp2(32 - (np.arange(254) + 0.5) / 8)).astype(np.int64)
_RAREST_FLAG = 126
_SWAP = 128


def symbol_codes(counts: Counts) -> Codes:
    """Code of each symbol of a context, from how often it occurs ([n], below 2^31 together).

    0 stands for a symbol that never occurs.
    """
    total = max(int(counts.sum()), 1)
    share = (counts << 32) // total
    steps = np.searchsorted(-_LIMITS, -share)
    return np.where(counts == 0, 0, 1 + steps).astype(np.uint8)


def symbol_probabilities(codes: Codes) -> npt.NDArray[np.float64]:
    """Probabilities of the symbols of a context, up to a common factor: float64, as `codes`."""
    chosen: npt.NDArray[np.float64] = _PROBABILITY[codes.astype(np.int64) - 1]
    chosen[codes == 0] = 0
    return chosen


def flag_codes(ones: Counts, total: Counts) -> Codes:
    """Code of the probability of a set flag for each context; 0 for a context without flags."""
    swap = 2 * ones > total
    rare = np.where(swap, total - ones, ones)
    share = (rare << 32) // np.maximum(total, 1)
    # The rarer value has a probability of at most one half: 8 eighths of a bit.
    steps = np.minimum(np.searchsorted(-_LIMITS, -share), _RAREST_FLAG)
    return np.where(total == 0, 0, 1 + steps + _SWAP * swap).astype(np.uint8)


def flag_probabilities(codes: Codes) -> npt.NDArray[np.float64]:
    """Probability of a set flag for each context: float64, as `codes`."""
    swap = codes > _SWAP
    rare = _PROBABILITY[np.maximum(codes.astype(np.int64) - swap * _SWAP, 1) - 1]
    chosen: npt.NDArray[np.float64] = np.where(swap, 1 - rare, rare)
    return chosen


def pack_rows(rows: Sequence[Codes]) -> bytes:
    """Rows of codes, each without its trailing zeros and with its length before it."""
    parts = []
    for row in rows:
        trimmed = np.trim_zeros(row, "b").tobytes()
        parts += [varint(len(trimmed)), trimmed]
    return b"".join(parts)


def unpack_rows(data: bytes, lengths: Sequence[int]) -> list[Codes]:
    """Inverse of `pack_rows` for rows of these lengths. Raises BitstreamError."""
    cursor, rows = Cursor(data, "scales"), []
    for length in lengths:
        block = cursor.block()
        if len(block) > length or block[-1:] == b"\0":
            raise BitstreamError("scales: a table has a wrong length")
        rows.append(np.frombuffer(block.ljust(length, b"\0"), dtype=np.uint8))
    cursor.end()
    return rows


class Encoder:
    """Range encoder of flags and symbols."""

    def __init__(self) -> None:
        import constriction

        self._model = constriction.stream.model
        self._flags = self._model.Bernoulli(perfect=False)
        self._coder = constriction.stream.queue.RangeEncoder()

    def flags(self, flags: npt.NDArray[np.bool_], probability: npt.NDArray[np.float64]) -> None:
        """Add flags [n], each with its probability of being set [n]."""
        if flags.size:
            self._coder.encode(flags.astype(np.int32), self._flags, probability)

    def symbols(self, symbols: Symbols, codes: Codes) -> None:
        """Add symbols [n] of one context."""
        if symbols.size and np.count_nonzero(codes) > 1:
            table = self._model.Categorical(symbol_probabilities(codes), perfect=False)
            self._coder.encode(symbols, table)

    def data(self) -> bytes:
        """All that was added."""
        return bytes(self._coder.get_compressed().astype("<u4").tobytes())


class Decoder:
    """Inverse of `Encoder`; `name` is what messages call the data.

    Raises BitstreamError for data that no encoder writes.
    """

    def __init__(self, data: bytes, name: str) -> None:
        import constriction

        if len(data) % 4:
            raise BitstreamError(f"{name}: {len(data)} bytes are no whole number of words")
        words = np.frombuffer(data, dtype="<u4").astype(np.uint32)
        self._name = name
        self._model = constriction.stream.model
        self._flags = self._model.Bernoulli(perfect=False)
        self._coder = constriction.stream.queue.RangeDecoder(words)

    def flags(self, probability: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        """As many flags as there are probabilities."""
        if not probability.size:
            return np.zeros(0, dtype=np.bool_)
        try:
            return np.asarray(self._coder.decode(self._flags, probability), dtype=np.bool_)
        except AssertionError as error:
            raise self._damaged() from error

    def symbols(self, count: int, codes: Codes) -> Symbols:
        """`count` symbols of one context."""
        possible = np.flatnonzero(codes)
        if not count or len(possible) == 1:
            return np.full(count, possible[0] if count else 0, dtype=np.int32)
        if not len(possible):
            raise BitstreamError(f"{self._name}: symbols of a context that has no table")
        table = self._model.Categorical(symbol_probabilities(codes), perfect=False)
        try:
            symbols = np.asarray(self._coder.decode(table, count), dtype=np.int32)
        except AssertionError as error:
            raise self._damaged() from error
        if not codes[symbols].all():
            raise self._damaged()
        return symbols

    def end(self) -> None:
        """Nothing may be left."""
        if not self._coder.maybe_exhausted():
            raise BitstreamError(f"{self._name}: longer than what it stores")

    def _damaged(self) -> BitstreamError:
        return BitstreamError(f"{self._name}: no range encoder writes these bytes")


def pack_bits(groups: Sequence[tuple[npt.NDArray[np.int64], int]]) -> bytes:
    """Unsigned values of each group, (values [n], bits of each), highest bit first, one after the
    other; the last byte is filled with zeros.
    """
    parts = [
        (values[:, np.newaxis] >> np.arange(width - 1, -1, -1) & 1).astype(np.uint8).ravel()
        for values, width in groups
        if width and values.size
    ]
    return np.packbits(np.concatenate(parts)).tobytes() if parts else b""


def unpack_bits(
    data: bytes, groups: Sequence[tuple[int, int]], name: str
) -> list[npt.NDArray[np.int64]]:
    """Inverse of `pack_bits` for groups of (count, bits of each). Raises BitstreamError."""
    total = sum(count * width for count, width in groups)
    if len(data) != -(-total // 8):
        raise BitstreamError(f"{name}: {len(data)} bytes where {-(-total // 8)} belong")
    bits = np.unpackbits(np.frombuffer(data, dtype=np.uint8))
    if bits[total:].any():
        raise BitstreamError(f"{name}: the last byte is not filled with zeros")
    found, at = [], 0
    for count, width in groups:
        values = np.zeros(count, dtype=np.int64)
        block = bits[at : at + count * width].reshape(count, width)
        for column in range(width):
            values = values << 1 | block[:, column]
        found.append(values)
        at += count * width
    return found
