"""A layer of the cache that holds what it does not name is caught."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from freqexp.conform.held import check_storage
from freqexp.kv.stored import Exact
from freqexp.nouns.cache import Shared


class Fake(Exact):
    """An exact storage that keeps more than it says."""

    __slots__ = ("beside",)

    def __init__(self, beside: object) -> None:
        super().__init__(torch.ones(2, 3, 4), torch.ones(2, 3, 4))
        self.beside = beside


class Views(Exact):
    """Holds on to the whole batch by a row of it."""

    def __init__(self) -> None:
        self._keys, self._values = torch.ones(2, 2, 3, 4)[0], torch.ones(2, 3, 4)


class Twice(Exact):
    """Two names of one storage."""

    def __init__(self) -> None:
        self._keys = torch.ones(2, 3, 4)
        self._values = self._keys.view(2, 3, 4)


def hiding_places(tensor: torch.Tensor) -> list[object]:
    def closure() -> torch.Tensor:
        return tensor

    return [
        tensor,
        {"a": [(tensor,)]},
        closure,
        partial(torch.add, tensor),
        lambda kept=tensor: kept,
        tensor.sum,
        Exact(tensor, tensor),
        tensor.numpy(),
        tensor.numpy().tobytes(),
        iter([tensor]),
    ]


def test_a_storage_that_hides_what_it_holds_is_caught() -> None:
    harmless: list[object] = [None, 7, "text", torch.empty(0), Shared((torch.ones(5),)), torch.int8]
    for beside in harmless:
        check_storage(Fake(beside))
    for beside in hiding_places(torch.ones(1, 5, 3)):
        with pytest.raises(AssertionError):
            check_storage(Fake(beside))
    for stored in (Views(), Twice()):
        with pytest.raises(AssertionError):
            check_storage(stored)
