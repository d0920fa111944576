"""Streams of servers, whole, odd and broken."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from freqexp.readers.served.stream import BrokenStreamError, completion, data_lines, said

DONE = b"data: [DONE]\n\n"


def event(**value: Any) -> bytes:
    return f"data: {json.dumps(value)}\n\n".encode()


def delta(finish: str | None = None, **content: Any) -> bytes:
    return event(choices=[{"delta": content, "finish_reason": finish}])


def reading(pieces: Sequence[bytes]) -> Callable[[], bytes]:
    left = iter(pieces)
    return lambda: next(left, b"")


def failing(pieces: Sequence[bytes]) -> Callable[[], bytes]:
    left = iter(pieces)

    def read() -> bytes:
        piece = next(left, None)
        if piece is None:
            raise ConnectionError("cut")
        return piece

    return read


WHOLE = (
    delta(role="assistant", content=""),
    delta(content="h\u00e9"),
    delta(content="llo"),
    delta("stop"),
    event(choices=[], usage={"prompt_tokens": 9, "completion_tokens": 3}),
    DONE,
)


def test_first_is_the_first_text_and_last_the_end_of_it() -> None:
    clock = itertools.count(10).__next__
    reply = completion(reading(WHOLE), lambda: float(clock()))
    assert (reply.text, reply.finish) == ("h\u00e9llo", "stop")
    assert (reply.first, reply.last) == (10.0, 11.0)
    assert (reply.prompt_tokens, reply.completion_tokens) == (9, 3)


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_pieces_end_anywhere(size: int) -> None:
    data = b"".join(WHOLE).replace(b"\n", b"\r\n")
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    assert completion(reading(pieces), lambda: 0.0).text == "h\u00e9llo"


def test_other_fields_and_comments_say_nothing() -> None:
    lines = b": ping\n\nevent: message\nid: 1\ndata:[1]\n\nretry: 5\ndata: [2]"
    assert list(data_lines(reading([lines]))) == ["[1]", "[2]"]


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_thinking_begins_the_answer_and_is_none_of_it(name: str) -> None:
    clock = itertools.count().__next__
    pieces = [delta(**{name: "hm"}), delta(content="yes"), delta("length"), DONE]
    reply = completion(reading(pieces), lambda: float(clock()))
    assert (reply.text, reply.finish) == ("yes", "length")
    assert (reply.first, reply.last) == (0.0, 1.0)


def test_an_answer_of_nothing() -> None:
    reply = completion(reading([delta("stop", content=None), DONE]), lambda: 5.0)
    assert (reply.text, reply.first, reply.last) == ("", 5.0, 5.0)
    assert (reply.prompt_tokens, reply.completion_tokens) == (None, None)


@pytest.mark.parametrize("usage", [None, 3, {}, {"prompt_tokens": -1}, {"prompt_tokens": "many"}])
def test_a_count_that_is_none_is_not_measured(usage: object) -> None:
    pieces = [delta("stop", content="a"), event(choices=[], usage=usage), DONE]
    assert completion(reading(pieces), lambda: 0.0).prompt_tokens is None


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_stream_that_ends_within_the_answer_is_broken(count: int) -> None:
    with pytest.raises(BrokenStreamError, match="within the answer"):
        completion(reading(WHOLE[:count]))
    with pytest.raises(ConnectionError):
        completion(failing(WHOLE[:count]))


@pytest.mark.parametrize("behind", [(), (b"data: {\n\n",), (event(error="late"),)])
def test_nothing_behind_its_end_costs_the_answer(behind: tuple[bytes, ...]) -> None:
    assert completion(failing([*WHOLE[:4], *behind])).text == "h\u00e9llo"


@pytest.mark.parametrize(
    ("piece", "told"),
    [
        (b"data: {broken\n\n", "broken JSON"),
        (b"data: [1]\n\n", "no JSON object"),
        (b'data: {"choices": [1]}\n\n', "no chat completion"),
        (b'data: {"choices": [{"delta": "text"}]}\n\n', "no chat completion"),
        (delta(content=["a"]), "no text"),
        (event(error={"message": "out of\nmemory", "code": 500}), "the stream says: out of memory"),
    ],
)
def test_what_is_no_completion_is_named(piece: bytes, told: str) -> None:
    with pytest.raises(BrokenStreamError, match=told):
        completion(reading([WHOLE[1], piece, *WHOLE[2:]]))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"error": {"message": "too long", "type": "x"}}, "too long"),
        ({"error": "no"}, "no"),
        ({"message": "vLLM's own"}, "vLLM's own"),
        ("<html>\n  busy </html>", "<html> busy </html>"),
        ("x" * 1000, "x" * 300),
    ],
)
def test_errors_of_servers_in_one_line(body: object, words: str) -> None:
    assert said(body) == words
