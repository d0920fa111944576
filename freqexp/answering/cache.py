"""A cache bounded in bytes, and what vision encodings are to it."""

from __future__ import annotations

import hashlib
import itertools
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Generic, TypeVar

from freqexp.nouns.page import Lines, Pixels

if TYPE_CHECKING:
    import torch

    from freqexp.nouns.vision import Signal, VisionTokens

OF_PAGES: tuple[Signal, ...] = ("pixels", "attention", "keys")
"""Signals that depend on a page alone and are held with its encoding."""
Value = TypeVar("Value")


class ByteLru(Generic[Value]):
    """A cache of at most `limit_bytes` that forgets what was used longest ago."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self._entries: OrderedDict[Hashable, tuple[Value, int]] = OrderedDict()

    def get(self, key: Hashable) -> Value | None:
        """The value of `key`, from now on the most recently used one; None when it is not held."""
        if key not in self._entries:
            return None
        self._entries.move_to_end(key)
        return self._entries[key][0]

    def put(self, key: Hashable, value: Value, size_bytes: int) -> None:
        """Hold `value`; one that is larger than the whole cache is not held."""
        _, replaced = self._entries.pop(key, (None, 0))
        self.used_bytes -= replaced
        if size_bytes > self.limit_bytes:
            return
        self._entries[key] = (value, size_bytes)
        self.used_bytes += size_bytes
        while self.used_bytes > self.limit_bytes:
            _, (_, dropped) = self._entries.popitem(last=False)
            self.used_bytes -= dropped

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self.used_bytes = 0


def moved(page: VisionTokens, device: torch.device | str) -> VisionTokens:
    """A page's tokens on a device; the same tensors where they are there already."""
    return replace(
        page,
        features=page.features.to(device),
        deepstack=tuple(level.to(device) for level in page.deepstack),
        signals={name: tensor.to(device) for name, tensor in page.signals.items()},
        places=None if page.places is None else page.places.to(device),
    )


def only(page: VisionTokens, signals: Sequence[Signal]) -> VisionTokens:
    """A page's tokens without other signals than these."""
    return replace(page, signals={name: page.signals[name] for name in signals})


def signal_sets(signals: Sequence[Signal]) -> list[tuple[Signal, ...]]:
    """All sets of an encoder's signals that hold these, small ones first."""
    sets = itertools.chain.from_iterable(
        itertools.combinations(OF_PAGES, size) for size in range(len(OF_PAGES) + 1)
    )
    return [names for names in sets if set(signals) <= set(names)]


def with_signals(key: str, signals: Sequence[Signal]) -> str:
    """The key of an encoding that has these signals."""
    return " ".join([key, *sorted(signals)])


def held_bytes(vision: Sequence[VisionTokens]) -> int:
    """Memory that holding these tokens keeps taken: whole storages, also where a tensor is a view
    of a part of one.
    """
    storages = [
        tensor.untyped_storage()
        for page in vision
        for tensor in (page.features, *page.deepstack, *page.signals.values())
    ]
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


def pixels_key(pixels: Sequence[Pixels], lines: Sequence[Lines] = ()) -> str:
    """SHA-256 of all pages' shapes and pixels ([H, W] or [H, W, 3] uint8 each), and of the places
    of their lines where these matter.
    """
    digest = hashlib.sha256(repr(lines).encode() if lines else b"")
    for page in pixels:
        digest.update(repr(page.shape).encode())
        digest.update(page.tobytes())
    return digest.hexdigest()
