"""Work that waits for somebody else, several at once."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import NoReturn, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_flight(items: Iterable[Item], work: Callable[[Item], Result], most: int) -> Iterator[Result]:
    """Results as they get ready, of at most `most` items at once, each in a thread of its own.

    items: drawn in the caller's thread, one more than there are threads. What `work` raises is
    raised here at once. Whoever stops early leaves the others behind: their threads hold up neither
    this process nor its end, and nobody hears of what they find.
    """
    done: queue.SimpleQueue[Callable[[], Result]] = queue.SimpleQueue()

    def run(item: Item) -> None:
        try:
            result = work(item)
        except BaseException as error:
            done.put(_raising(error))
        else:
            done.put(lambda: result)

    running = 0
    for item in items:
        while running and (running == most or not done.empty()):
            yield done.get()()
            running -= 1
        threading.Thread(target=run, args=(item,), daemon=True).start()
        running += 1
    while running:
        yield done.get()()
        running -= 1


def _raising(error: BaseException) -> Callable[[], NoReturn]:
    def ready() -> NoReturn:
        raise error

    return ready
