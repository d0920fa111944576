"""Chat messages as data sets write them, and those that are refused by number."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mrcr_data import EXAMPLES, POEMS, REQUEST, WRITERS, messages, row

import freqexp
from freqexp.benchmarks.faults import FAULTS
from freqexp.benchmarks.messages import CALLS, ROLES, conversation, read_messages
from freqexp.benchmarks.mrcr import load_mrcr
from freqexp.errors import UserError
from freqexp.nouns.sample import Turn

PLAIN = messages("abcdefghij")


def said(prompt: object) -> tuple[tuple[Turn, ...], str]:
    return conversation("f: row 0", read_messages("f: row 0", prompt))


def with_parts(message: dict[str, Any]) -> dict[str, Any]:
    half = len(message["content"]) // 2
    halves = message["content"][:half], message["content"][half:]
    return {**message, "content": [{"type": "text", "text": text} for text in halves]}


def sharegpt(message: dict[str, Any]) -> dict[str, Any]:
    role = {"user": "human", "assistant": "gpt"}[message["role"]]
    return {"from": role, "value": message["content"]}


WAYS = {
    "JSON": json.dumps,
    "parts": lambda prompt: [with_parts(message) for message in prompt],
    "parts as JSON": lambda prompt: json.dumps([with_parts(message) for message in prompt]),
    "parts with null keys": lambda prompt: [
        {**m, "content": [{"type": "text", "text": m["content"], "image_url": None}]}
        for m in prompt
    ],
    "parts without a type": lambda prompt: [
        {**m, "content": [{"text": m["content"]}]} for m in prompt
    ],
    "null keys": lambda prompt: [
        {**m, "name": None, "tool_calls": None, "from": None, "value": None} for m in prompt
    ],
    "no calls": lambda prompt: [{**m, "tool_calls": [], "function_call": {}} for m in prompt],
    "other keys": lambda prompt: [{"weight": 1, "id": "x", **m} for m in prompt],
    "ShareGPT": lambda prompt: [sharegpt(message) for message in prompt],
    "Gemma": lambda prompt: [
        {**m, "role": m["role"].replace("assistant", "model")} for m in prompt
    ],
}


@pytest.mark.parametrize("way", WAYS)
def test_the_same_conversation_in_other_words(way: str) -> None:
    assert said(WAYS[way](PLAIN)) == said(PLAIN)


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize("way", ["parts with null keys", "null keys", "ShareGPT"])
def test_typed_columns_of_files_are_read(way: str, suffix: str, tmp_path: Path) -> None:
    plain = load_mrcr(WRITERS[suffix](tmp_path / f"plain{suffix}", [row()]), 2)
    typed = row(prompt=WAYS[way](json.loads(row()["prompt"])))
    assert load_mrcr(WRITERS[suffix](tmp_path / f"typed{suffix}", [typed]), 2) == plain


def test_parquet_fills_in_the_keys_that_other_messages_have(tmp_path: Path) -> None:
    prompt = json.loads(row()["prompt"])
    prompt[2]["name"] = "tapir"
    path = WRITERS[".parquet"](tmp_path / "x.parquet", [row(prompt=prompt)])
    assert load_mrcr(path, 2)[0].turns[0].assistant == POEMS[0]


def test_published_examples_join_the_first_request() -> None:
    turns, question = said(PLAIN)
    assert turns[0] == Turn(f"{EXAMPLES}\n\n{REQUEST}", POEMS[0])
    assert question == PLAIN[-1]["content"]
    assert said(PLAIN[1:]) == ((Turn(REQUEST, POEMS[0]), *turns[1:]), question)


@pytest.mark.parametrize("role", ["system", "developer"])
def test_a_leading_system_message_joins_too(role: str) -> None:
    brief = {"role": role, "content": "Be brief."}
    turns, _ = said([brief, *PLAIN])
    assert turns[0] == Turn(f"Be brief.\n\n{EXAMPLES}\n\n{REQUEST}", POEMS[0])
    turns, _ = said([brief, *PLAIN[1:]])
    assert turns[0] == Turn(f"Be brief.\n\n{REQUEST}", POEMS[0])


def test_the_documentation_names_every_role_and_fault() -> None:
    page = (Path(freqexp.__file__).parents[1] / "docs" / "mrcr.md").read_text()
    assert [name for name in (*ROLES, *FAULTS, *CALLS) if f"`{name}`" not in page] == []


def at(number: int, **changes: Any) -> list[dict[str, Any]]:
    return [{**m, **changes} if n == number else m for n, m in enumerate(PLAIN)]


def inserted(number: int, role: str) -> list[dict[str, Any]]:
    return [*PLAIN[:number], {"role": role, "content": "x"}, *PLAIN[number:]]


IMAGE = {"type": "image_url", "image_url": {"url": "x.png"}}
TEXT = {"type": "text", "text": "x"}
REFUSED: dict[str, tuple[object, str]] = {
    "image": (at(4, content=[TEXT, IMAGE]), "message 4: part 1: got type 'image_url', allowed: t"),
    "untyped image": (at(4, content=[{"image": "x"}]), "message 4: part 0: got dict, allowed: an"),
    "part of text null": (at(3, content=[{**TEXT, "text": None}]), "message 3: part 0: got dict"),
    "part as text": (at(3, content=["x"]), "message 3: part 0: got str, allowed: an object such"),
    "type of a list": (at(3, content=[{"type": ["text"]}]), "message 3: part 0: got type .'text'"),
    "no parts": (at(2, content=[]), "message 2: content: got an empty list, allowed: text, or a"),
    "no content": (at(2, content=None), "message 2: content: got nothing, allowed: text, or a l"),
    "number": (at(2, content=7), "message 2: content: got int, allowed: text"),
    "tool": (inserted(3, "tool"), "message 3: got role 'tool', allowed: system, developer, user"),
    "no role": (at(5, role=None), "message 5: got role None, allowed: system"),
    "role of a list": (at(5, role=["user"]), r"message 5: got role \['user'\], allowed"),
    "calls": (at(2, tool_calls=[{"id": 1}]), "message 2: tool_calls: got list, allowed: none"),
    "call": (at(2, function_call={"name": "f"}), "message 2: function_call: got dict, allowed"),
    "two roles": (at(1, **{"from": "human"}), "message 1: got both role and from, allowed: one"),
    "two contents": (at(1, value="x"), "message 1: got both content and value, allowed: one of"),
    "late system": (inserted(3, "system"), "message 3: got system, allowed: user"),
    "two systems": ([*[{"role": "system", "content": "x"}] * 2, *PLAIN], "message 1: got system"),
    "three users": (inserted(0, "user"), "message 2: got user, allowed: assistant"),
    "two replies": (inserted(3, "assistant"), "message 3: got assistant, allowed: user"),
    "reply first": (PLAIN[2:], "message 0: got assistant, allowed: user"),
    "only examples": (PLAIN[:2], "got 2 messages, the last of them of the user, allowed: requ"),
    "no question": (PLAIN[:-1], "got 7 messages, the last of them of the assistant, allowed: r"),
    "not messages": ([1], "message 0: got int, allowed: an object with role and content"),
    "object": ({"messages": PLAIN}, "prompt: got dict, allowed: a list of messages"),
    "null": (None, "prompt: got nothing, allowed: a list of messages"),
    "null as JSON": ("null", "prompt: got nothing, allowed: a list of messages"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_read_is_refused_by_number(case: str) -> None:
    prompt, message = REFUSED[case]
    with pytest.raises(UserError, match=f"^f: row 0: prompt: .*{message}|^f: row 0: {message}"):
        said(prompt)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(list(ROLES)),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "from", "value", "type", "text", "tool_calls"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@given(prompt=JSON)
def test_whatever_it_is_one_error_names_it(prompt: Any) -> None:
    try:
        turns, question = said(prompt)
    except UserError as error:
        assert str(error).startswith("f: row 0: prompt: ")  # noqa: PT017
    else:
        assert turns
        assert isinstance(question, str)


@given(
    texts=st.lists(st.text(max_size=9), min_size=3, max_size=9).filter(lambda t: len(t) % 2),
    lead=st.sampled_from([(), ("system",), ("developer", "user"), ("user",)]),
)
def test_no_text_is_lost(texts: list[str], lead: tuple[str, ...]) -> None:
    before = [{"role": role, "content": f"<{role}>"} for role in lead]
    told = [
        {"role": "gpt" if place % 2 else "human", "content": text}
        for place, text in enumerate(texts)
    ]
    turns, question = said([*before, *told])
    heard = [text for turn in turns for text in (turn.user, turn.assistant)]
    first = "\n\n".join([*(f"<{role}>" for role in lead), texts[0]])
    assert [*heard, question] == [first, *texts[1:]]
