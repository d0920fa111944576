"""Symbols to bytes and back: a range coder driven by weights that adapt."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from freqexp.coding.bitstream import BitstreamError

Integers = npt.NDArray[np.int64]

PRIOR = 1 << 14
"""What trained weights of a context sum to, about."""

_STEP = 32


class Coder:
    """Symbols of given weights, into bytes or out of them."""

    def symbol(self, weights: Integers, value: int | None) -> int:
        """Code `value` (decoding: None); returns it. weights: int64 [n], each above 0."""
        return int(self.symbols(weights, None if value is None else np.array([value]), 1)[0])

    def symbols(self, weights: Integers, values: Integers | None, count: int) -> Integers:
        """Code `count` values (decoding: None), all with the same weights; returns them."""
        raise NotImplementedError


class Writer(Coder):
    """Range encoder."""

    def __init__(self) -> None:
        import constriction

        self._model = constriction.stream.model
        self._coder = constriction.stream.queue.RangeEncoder()

    def symbols(self, weights: Integers, values: Integers | None, count: int) -> Integers:
        """See `Coder`."""
        assert values is not None
        table = self._model.Categorical(weights.astype(np.float64), perfect=False)
        self._coder.encode(values.astype(np.int32), table)
        return values

    def data(self) -> bytes:
        """All that was coded."""
        return bytes(self._coder.get_compressed().astype("<u4").tobytes())


class Reader(Coder):
    """Range decoder."""

    def __init__(self, data: bytes, most: int) -> None:
        """most: symbols that may be asked for: data must not cost more time than they hold."""
        import constriction

        if len(data) % 4:
            raise BitstreamError(f"indices: {len(data)} bytes are no whole number of words")
        words = np.frombuffer(data, dtype="<u4").astype(np.uint32)
        self._model = constriction.stream.model
        self._coder = constriction.stream.queue.RangeDecoder(words)
        self._left = most

    def symbols(self, weights: Integers, values: Integers | None, count: int) -> Integers:
        """See `Coder`. Raises BitstreamError for what no encoder writes."""
        self._left -= count
        if self._left < 0:
            raise BitstreamError("indices: more symbols than its bytes can hold")
        table = self._model.Categorical(weights.astype(np.float64), perfect=False)
        try:
            return np.asarray(self._coder.decode(table, count), dtype=np.int64)
        except AssertionError as error:
            raise BitstreamError("indices: no range encoder writes these bytes") from error

    def end(self) -> None:
        """Nothing may be left."""
        if not self._coder.maybe_exhausted():
            raise BitstreamError("indices: longer than what it stores")


class Adaptive:
    """A symbol whose odds are those of the symbols before it in its context."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._seen: dict[object, Integers] = {}

    def code(self, coder: Coder, value: int | None, context: object = None) -> int:
        """Code one symbol, see `Coder.symbol`."""
        weights = self._seen.get(context)
        if weights is None:
            weights = self._seen[context] = np.ones(self._size, dtype=np.int64)
        # A symbol that can't be another one costs nothing, and the coder takes none such.
        found = coder.symbol(weights, value) if self._size > 1 else 0
        weights[found] += _STEP
        return found
