"""How a check says that something does not hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

from freqexp.errors import UserError


class BrokenError(AssertionError):
    """A promise that a method does not keep; the message says which."""


class NotHereError(Exception):
    """A check that this machine can't make."""


def expect(holds: object, words: str) -> None:
    """Raise BrokenError with these words unless it holds."""
    if not holds:
        raise BrokenError(words)


def refuses(
    work: Callable[[], object], kinds: type[Exception] | tuple[type[Exception], ...], words: str
) -> str:
    """The message with which `work` refuses. Raises BrokenError with these words unless it raises
    one of `kinds`.
    """
    try:
        work()
    except kinds as error:
        return str(error)
    except Exception as error:
        raise BrokenError(f"{words} (it raised {type(error).__name__}: {error})") from error
    raise BrokenError(words)


def alike(one: torch.Tensor, other: torch.Tensor, words: str, tolerance: float = 1e-6) -> None:
    """Raise BrokenError unless two tensors are as near as rounding leaves them."""
    near = one.shape == other.shape and torch.allclose(one, other, rtol=tolerance, atol=tolerance)
    expect(near, words)


def each_thread_count() -> Iterator[int]:
    """Set torch to 1, 2 and 5 threads in turn, and back."""
    threads = torch.get_num_threads()
    try:
        for count in (1, 2, 5):
            torch.set_num_threads(count)
            yield count
    finally:
        torch.set_num_threads(threads)


def need_gpu() -> None:
    """Raise NotHereError without a GPU."""
    if not torch.cuda.is_available():
        raise NotHereError("needs a GPU")


REFUSALS = (ValueError, UserError)
