"""Bytes that an object keeps alive, read off its tensors' storages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from freqexp.nouns.cache import Shared


def storages(thing: object) -> dict[int, int]:
    """Every storage that `thing` keeps alive, by its address: its bytes, all of them where a tensor
    is a view of a part. Looks into attributes, mappings and sequences; what is `Shared` is not the
    thing's own.
    """
    return _storages(_tensors(thing, set(), shared=False))


def shared_storages(thing: object) -> dict[int, int]:
    """The same of what is `Shared` alone."""
    return _storages(_tensors(thing, set(), shared=True))


def _storages(tensors: Iterator[Tensor]) -> dict[int, int]:
    found = {}
    for tensor in tensors:
        storage = tensor.untyped_storage()
        if storage.nbytes():
            found[storage.data_ptr()] = storage.nbytes()
    return found


def _tensors(thing: Any, seen: set[int], *, shared: bool, inside: bool = False) -> Iterator[Tensor]:
    """inside: whether what holds `thing` is `Shared`."""
    if id(thing) in seen:
        return
    seen.add(id(thing))
    if isinstance(thing, Tensor):
        if inside == shared:
            yield thing
        return
    if isinstance(thing, Shared):
        inside = True
    if isinstance(thing, Mapping):
        parts = list(thing.values())
    elif isinstance(thing, list | tuple | set | frozenset):
        parts = list(thing)
    else:
        parts = list(getattr(thing, "__dict__", {}).values())
        slots = getattr(type(thing), "__slots__", ())
        parts += [getattr(thing, name) for name in slots if hasattr(thing, name)]
    for part in parts:
        yield from _tensors(part, seen, shared=shared, inside=inside)
