"""Chat messages as data sets write them: a conversation of text, and the question after it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from freqexp.errors import UserError
from freqexp.nouns.sample import Turn

# OpenAI also says developer, ShareGPT human and gpt, Gemini and Gemma model.
ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "model": "assistant",
}
# Each in OpenAI's and in ShareGPT's wording.
ROLE_KEYS, CONTENT_KEYS = ("role", "from"), ("content", "value")
# What is said besides the content, and can't be drawn as text.
CALLS = ("tool_calls", "function_call")

Message = tuple[str, str]


def read_messages(where: str, prompt: object) -> list[Message]:
    """(role, text) of each message of a JSON text or an already parsed list; roles are system, user
    and assistant.

    Keys that are null count as absent: Parquet fills them in. A content of several text parts is
    their text, one right after the other. where: the row, for errors; messages count from 0.
    Raises UserError.
    """
    if isinstance(prompt, str):
        try:
            prompt = json.loads(prompt)
        except ValueError as error:
            raise UserError(f"{where}: prompt: not JSON: {error}") from error
    if not isinstance(prompt, list) or not prompt:
        _refuse(f"{where}: prompt", prompt, "a list of messages")
    return [_message(f"{where}: prompt: message {n}", each) for n, each in enumerate(prompt)]


def conversation(where: str, messages: Sequence[Message]) -> tuple[tuple[Turn, ...], str]:
    """The turns, and the question after them.

    openai/mrcr has its worked examples in a user message of their own before the first request:
    they join that request, as does a system message before them, with an empty line between.
    Raises UserError when user and assistant do not speak in turn after that.
    """
    roles = [role for role, _ in messages]
    texts = [text for _, text in messages]
    first = int(roles[0] == "system")
    first += roles[first : first + 2] == ["user", "user"]
    expected = itertools.cycle(("user", "assistant"))
    for number, role in enumerate(roles[first:], start=first):
        wanted = next(expected)
        if role != wanted:
            raise UserError(f"{where}: prompt: message {number}: got {role}, allowed: {wanted}")
    count = len(roles) - first
    if count < 3 or count % 2 == 0:
        allowed = "requests and replies in turn, at least one of each, then the user's question"
        got = f"{len(roles)} messages, the last of them of the {roles[-1]}"
        raise UserError(f"{where}: prompt: got {got}, allowed: {allowed}")
    texts[: first + 1] = ["\n\n".join(texts[: first + 1])]
    pairs = zip(texts[0:-1:2], texts[1::2], strict=True)
    return tuple(Turn(user, assistant) for user, assistant in pairs), texts[-1]


def _message(where: str, message: object) -> Message:
    if not isinstance(message, dict):
        _refuse(where, message, "an object with role and content")
    held = {key: value for key, value in message.items() if value is not None}
    for key in CALLS:
        if held.get(key):
            _refuse(f"{where}: {key}", held[key], "none: only text can be shown on a page")
    role = _either(where, held, ROLE_KEYS)
    if not isinstance(role, str) or role not in ROLES:
        raise UserError(f"{where}: got role {role!r}, allowed: {', '.join(ROLES)}")
    return ROLES[role], _text(where, _either(where, held, CONTENT_KEYS))


def _either(where: str, held: Mapping[Any, Any], keys: tuple[str, str]) -> Any:
    """The value of the one of two keys that is there; None without them."""
    found = [key for key in keys if key in held]
    if len(found) == 2:
        raise UserError(f"{where}: got both {' and '.join(keys)}, allowed: one of them")
    return held[found[0]] if found else None


def _text(where: str, content: object) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or not content:
        _refuse(f"{where}: content", content, "text, or a list of text parts")
    return "".join(_part(f"{where}: part {n}", part) for n, part in enumerate(content))


def _part(where: str, part: object) -> str:
    held = part if isinstance(part, dict) else {}
    kind, text = held.get("type"), held.get("text")
    if kind not in (None, "text"):
        raise UserError(f"{where}: got type {kind!r}, allowed: text")
    if not isinstance(text, str):
        _refuse(where, part, 'an object such as {"type": "text", "text": "..."}')
    return text


def _refuse(where: str, got: object, allowed: str) -> NoReturn:
    kind = "nothing" if got is None else type(got).__name__
    empty = "an empty " if got in ([], {}) else ""
    raise UserError(f"{where}: got {empty}{kind}, allowed: {allowed}")
