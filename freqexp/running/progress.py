"""How far a run is: a bar on a terminal, plain lines in a log."""

from __future__ import annotations

import io
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TextIO

LINE_SECONDS = 5.0
LINE_SHARE = 0.1
LINE_SECONDS_MOST = 60.0


class Progress(ABC):
    """Shows how far the current run is."""

    @abstractmethod
    def run(self, label: str, total: int, done: int) -> AbstractContextManager[Callable[[], None]]:
        """For the time of one run: gives the function to call after each of its samples.

        total: samples of the run. done: how many of them were there before.
        """

    @abstractmethod
    def note(self, line: str) -> None:
        """Show one line for people."""


class Lines(Progress):
    """Plain lines: one every tenth of the run, but none within seconds, and one a minute at least.

    clock: seconds, as time.monotonic.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock

    @contextmanager
    def run(self, label: str, total: int, done: int) -> Iterator[Callable[[], None]]:
        """See `Progress`."""
        started = shown_at = self._clock()
        first = shown = at = done
        self.note(f"{label}: {at}/{total} samples")

        def advance() -> None:
            nonlocal shown_at, shown, at
            at += 1
            now = self._clock()
            waited = now - shown_at
            due = waited >= LINE_SECONDS and at - shown >= LINE_SHARE * total
            if due or waited >= LINE_SECONDS_MOST or at == total:
                left = (now - started) / (at - first) * (total - at)
                self.note(
                    f"{label}: {at}/{total} samples, {now - started:.0f} s, {left:.0f} s left"
                )
                shown_at, shown = now, at

        yield advance

    def note(self, line: str) -> None:
        """See `Progress`. What nobody can read stops no run."""
        with suppress(OSError):
            print(line, file=self._stream, flush=True)


class Bar(Progress):
    """A bar that is drawn over itself."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    @contextmanager
    def run(self, label: str, total: int, done: int) -> Iterator[Callable[[], None]]:
        """See `Progress`."""
        from tqdm import tqdm

        with tqdm(
            desc=label, total=total, initial=done, file=self._stream, unit="sample", smoothing=0.1
        ) as bar:
            yield lambda: bar.update() and None

    def note(self, line: str) -> None:
        """See `Progress`."""
        from tqdm import tqdm

        tqdm.write(line, file=self._stream)


def make_progress(stream: TextIO | None = None) -> Progress:
    """A bar if `stream` (default: stderr) is a terminal, else lines; nothing shows where standard
    error was closed.
    """
    stream = sys.stderr if stream is None else stream
    if stream is None:
        return Lines(io.StringIO())
    return Bar(stream) if stream.isatty() else Lines(stream)
