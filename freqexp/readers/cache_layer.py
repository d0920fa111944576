"""A layer of a transformers cache that holds what a compressor made of each request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers.cache_utils import CacheLayerMixin

from freqexp.nouns.cache import StoredLayer
from freqexp.readers.held import storages


class CompressedLayer(CacheLayerMixin):
    """Keys and values of a batch: whole, with the batch's padding, until `hold` is called; of each
    request by itself, without padding, from then on.

    Its length is that of the whole sequence, so that positions, sliced inputs and masks of two
    dimensions go on as if nothing had left. `keys` and `values` given to attention are
    right-aligned: shorter requests have zeros before them, which the caller has to mask.

    rows: what is held of each request, None before. seen: length of the sequence. token_bytes: of
    one token's keys and values as the model makes them. read_bytes: the most that reading took
    beyond what is held, of each request: its own share of a batch.
    """

    is_sliding = False
    is_croppable = False
    is_compileable = False

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.rows: list[StoredLayer] | None = None
        self.seen = 0
        self.token_bytes = 0
        self.read_bytes: list[int] = []
        self._padding: Sequence[int] = ()

    def hold(self, rows: Sequence[StoredLayer]) -> None:
        """Hold these in place of the whole keys and values."""
        self.rows, self.keys, self.values = list(rows), None, None
        self.read_bytes, self._padding = [0] * len(rows), [0] * len(rows)

    def whole(self) -> tuple[Tensor, Tensor]:
        """What is held before `hold`: [batch, KV heads, length, channels] each."""
        assert self.keys is not None
        assert self.values is not None
        return self.keys, self.values

    def next_padding(self, padding: Sequence[int]) -> None:
        """Of the next tokens so many of each request are padding on the left, and not kept."""
        self._padding = padding

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Nothing to prepare."""
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Take [batch, KV heads, n, channels] more and give all there is."""
        if self.rows is None:
            self.lazy_initialization(key_states, value_states)
            self.seen += key_states.shape[2]
            self.keys, self.values = key_states.contiguous(), value_states.contiguous()
            batch, _, length, _ = key_states.shape
            self.token_bytes = (key_states.nbytes + value_states.nbytes) // (batch * length)
            return self.whole()
        self.append(key_states, value_states)
        return self.read()

    def append(self, key_states: Tensor, value_states: Tensor) -> None:
        """Take more after `hold`."""
        rows = self.held_rows()
        self.seen += key_states.shape[2]
        for number, (row, skip) in enumerate(zip(rows, self._padding, strict=True)):
            row.append(key_states[number, :, skip:], value_states[number, :, skip:])
        self._padding = [0] * len(rows)

    def held_rows(self) -> list[StoredLayer]:
        """What is held of each request after `hold`."""
        assert self.rows is not None
        return self.rows

    def read(self) -> tuple[Tensor, Tensor]:
        """All there is after `hold`, [batch, KV heads, width, channels]."""
        rows = self.held_rows()
        parts = [row.read() for row in rows]
        taken = []
        for row, part in zip(rows, parts, strict=True):
            held = storages(row)
            taken.append(sum(size for key, size in storages(part).items() if key not in held))
        if len(parts) == 1:
            self.read_bytes = [max(self.read_bytes[0], taken[0])]
            return parts[0][0][None], parts[0][1][None]
        width = max(row.tokens for row in rows)
        keys, values = (_right_aligned(side, width) for side in zip(*parts, strict=True))
        share = (keys.nbytes + values.nbytes) // len(rows)
        most = zip(self.read_bytes, taken, strict=True)
        self.read_bytes = [max(before, own + share) for before, own in most]
        return keys, values

    def get_seq_length(self) -> int:
        """Length of the whole sequence."""
        return self.seen

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Width of a mask for what is held and so many more, and where it begins."""
        held = self.seen if self.rows is None else max(row.tokens for row in self.rows)
        return held + query_length, self.seen - held

    def get_max_length(self) -> int:
        """No bound."""
        return -1


def _right_aligned(rows: Sequence[Tensor], width: int) -> Tensor:
    """[KV heads, n, channels] each -> [batch, KV heads, width, channels]."""
    return torch.stack([functional.pad(row, (0, 0, width - row.shape[1], 0)) for row in rows])
