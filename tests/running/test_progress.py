from __future__ import annotations

import contextlib
import errno
import io
import os

import pytest

from freqexp.running.progress import Bar, Lines, make_progress


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def shown(total: int, done: int, seconds: float, label: str = "none") -> list[str]:
    stream, clock = io.StringIO(), Clock()
    with Lines(stream, clock).run(label, total, done) as advance:
        for _ in range(total - done):
            clock.now += seconds
            advance()
    return stream.getvalue().splitlines()


def test_fast_samples_give_a_line_every_few_seconds() -> None:
    lines = shown(total=1280, done=0, seconds=1 / 64)
    assert lines[0] == "none: 0/1280 samples"
    assert lines[1] == "none: 320/1280 samples, 5 s, 15 s left"
    assert lines[-1] == "none: 1280/1280 samples, 20 s, 0 s left"
    assert len(lines) == 5


def test_slow_samples_give_a_line_every_tenth() -> None:
    assert len(shown(total=100, done=0, seconds=3)) == 11


def test_very_slow_samples_give_a_line_a_minute() -> None:
    assert len(shown(total=100, done=0, seconds=70)) == 101


def test_a_resumed_run_counts_from_where_it_was() -> None:
    lines = shown(total=10, done=8, seconds=10)
    assert lines == [
        "none: 8/10 samples",
        "none: 9/10 samples, 10 s, 10 s left",
        "none: 10/10 samples, 20 s, 0 s left",
    ]


def read_to_the_end(leader: int) -> bytes:
    """All that was written to a terminal whose other side is closed, in however many pieces."""
    pieces = []
    with os.fdopen(leader, "rb", buffering=0) as terminal, contextlib.suppress(OSError):
        # On Linux the end is an error (EIO).
        while piece := terminal.read(10_000):
            pieces.append(piece)
    return b"".join(pieces)


def test_a_terminal_gets_a_bar() -> None:
    leader, follower = os.openpty()
    with os.fdopen(follower, "w") as stream:
        progress = make_progress(stream)
        assert isinstance(progress, Bar)
        with progress.run("token keep 0.5", 4, 1) as advance:
            for _ in range(3):
                advance()
            progress.note("a note")
    drawn = read_to_the_end(leader).decode()
    assert "token keep 0.5" in drawn
    assert "4/4" in drawn
    assert "a note" in drawn


def test_a_log_gets_lines() -> None:
    assert isinstance(make_progress(io.StringIO()), Lines)


def test_a_stream_that_cannot_be_written_stops_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    with make_progress(Full()).run("none", 2, 0) as advance:
        advance()
        advance()
    monkeypatch.setattr("sys.stderr", None)
    with make_progress().run("none", 1, 0) as advance:
        advance()
