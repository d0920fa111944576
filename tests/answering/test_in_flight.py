"""Several things at once that others do."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from freqexp.answering.in_flight import in_flight


def test_no_more_than_so_many_and_all_of_them_once() -> None:
    meeting = threading.Barrier(3)
    now, peak, lock = 0, 0, threading.Lock()

    def work(number: int) -> int:
        nonlocal now, peak
        with lock:
            now += 1
            peak = max(peak, now)
        meeting.wait(10)
        with lock:
            now -= 1
        return -number

    assert sorted(in_flight(range(12), work, 3)) == list(range(-11, 1))
    assert peak == 3


def test_what_is_ready_does_not_wait_for_what_is_slow() -> None:
    slow = threading.Event()

    def work(number: int) -> int:
        if number == 0:
            slow.wait(10)
        return number

    found = in_flight(range(5), work, 2)
    assert [next(found) for _ in range(4)] == [1, 2, 3, 4]
    slow.set()
    assert list(found) == [0]


def test_items_are_drawn_as_they_are_needed_and_here() -> None:
    drawn: list[int] = []
    here = threading.get_ident()

    def items() -> Iterator[int]:
        for number in range(100):
            assert threading.get_ident() == here
            drawn.append(number)
            yield number

    found = in_flight(items(), lambda number: number, 2)
    next(found)
    assert len(drawn) <= 3
    found.close()  # type: ignore[attr-defined]
    assert len(drawn) <= 3


def test_an_error_comes_at_once_and_leaves_the_others() -> None:
    left = threading.Event()

    def work(number: int) -> int:
        if number == 1:
            raise KeyError("one")
        left.wait(10)
        return number

    with pytest.raises(KeyError, match="one"):
        list(in_flight(range(9), work, 4))
    left.set()


def test_nothing_to_do() -> None:
    assert list(in_flight([], lambda item: item, 4)) == []
