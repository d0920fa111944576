"""A streamed chat completion: server-sent events (WHATWG HTML, 9.2) whose data are JSON objects."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

DONE = "[DONE]"


class BrokenStreamError(Exception):
    """The stream ended before its answer did, or holds what no chat completion is made of."""


@dataclass(frozen=True)
class Reply:
    """One completion.

    finish: why it ended, in the server's word (`stop`, `length`). first: `clock` when the first
    piece of it came. last: when it was complete.
    prompt_tokens, completion_tokens: as the server says; None where it doesn't.
    retries: how often it was asked for again.
    """

    text: str
    finish: str
    first: float
    last: float
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    retries: int = 0


def data_lines(read: Callable[[], bytes]) -> Iterator[str]:
    """What `data` fields say, each line by itself. read: the next bytes, none at the end.

    Raises UnicodeDecodeError, and what `read` raises.
    """
    held = b""
    while piece := read():
        *lines, held = (held + piece).split(b"\n")
        yield from _data(lines)
    yield from _data([held])


def _data(lines: list[bytes]) -> Iterator[str]:
    for line in lines:
        if line.startswith(b"data:"):
            yield line.removeprefix(b"data:").decode().strip()


def completion(read: Callable[[], bytes], clock: Callable[[], float] = time.perf_counter) -> Reply:
    """The completion of a stream, read to its end, so that the connection can be used again.

    Thinking that the server sends apart (`reasoning_content`, `reasoning`) counts as begun, not as
    answer. What is wrong behind the end of the answer loses nothing of it.
    Raises BrokenStreamError, and what `read` raises before the end of the answer.
    """
    parts: list[str] = []
    found = _Found(parts)
    try:
        for data in data_lines(read):
            if data == DONE:
                found.last = clock() if found.last is None else found.last
                continue
            found.take(_object(data), clock)
    except Exception:
        if found.finish is None:
            raise
    if found.finish is None:
        raise BrokenStreamError("the stream ended within the answer")
    last = clock() if found.last is None else found.last
    first = last if found.first is None else found.first
    text = "".join(parts)
    return Reply(text, found.finish, first, last, found.prompt_tokens, found.completion_tokens)


@dataclass
class _Found:
    """What has come so far."""

    parts: list[str]
    finish: str | None = None
    first: float | None = None
    last: float | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None

    def take(self, event: dict[str, Any], clock: Callable[[], float]) -> None:
        if event.get("error") is not None:
            raise BrokenStreamError(f"the stream says: {said(event)}")
        usage = event.get("usage")
        if isinstance(usage, dict):
            self.prompt_tokens = _count(usage.get("prompt_tokens"))
            self.completion_tokens = _count(usage.get("completion_tokens"))
        for choice in event.get("choices") or ():
            try:
                delta, finish = choice.get("delta") or {}, choice.get("finish_reason")
                text = delta.get("content")
                begun = text or delta.get("reasoning_content") or delta.get("reasoning")
            except AttributeError as error:
                raise BrokenStreamError("the stream holds no chat completion") from error
            if text is not None and not isinstance(text, str):
                raise BrokenStreamError("the stream holds content that is no text")
            if begun and self.first is None:
                self.first = clock()
            if text:
                self.parts.append(text)
            if finish is not None:
                self.finish, self.last = str(finish), clock()


def _object(data: str) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except ValueError as error:
        raise BrokenStreamError("the stream holds broken JSON") from error
    if not isinstance(value, dict):
        raise BrokenStreamError("the stream holds no JSON object")
    return value


def said(body: object) -> str:
    """What an error's body says, in one line of at most 300 characters."""
    inner = body.get("error", body) if isinstance(body, dict) else body
    text = inner.get("message", inner) if isinstance(inner, dict) else inner
    return " ".join(str(text).split())[:300]


def _count(value: object) -> int | None:
    """A number of tokens, of those that can be one."""
    known = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return int(str(value)) if known else None
