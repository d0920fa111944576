"""A conversation as text: in every family the answer is that of the same chat written as text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import glm4v_remote_checkpoint
import numpy as np
import pytest
import torch
from reader_checkpoints import KINDS, configure, noise_pages, write_checkpoint
from test_in_decoder import config_of

from freqexp.composing.compose import compose
from freqexp.errors import UserError
from freqexp.kv.evict import Eviction
from freqexp.kv.kivi import Kivi
from freqexp.kv.kv_random import KVRandom
from freqexp.nouns.teaching import Exercise
from freqexp.nouns.vision import keep_all
from freqexp.readers.base import Request
from freqexp.readers.decoding import readable
from freqexp.readers.load import load_reader
from freqexp.schemas.choices import Family, Form
from freqexp.schemas.model import ModelConfig
from freqexp.schemas.render import CellsRender

TEXT = "> write a haiku\nold pond, a frog leaps\n> write a riddle\ntwo hands, no arms\n"
OTHER = "> sing\nla\n"
QUESTION = "What is the 2nd line?"
FAMILIES = [*sorted(KINDS), "llava_onevision", "glm4v_remote"]


@dataclass(frozen=True, eq=False)
class Subject:
    """One family's reader of a random checkpoint. image: its placeholders' tokens."""

    name: str
    reader: Any
    image: frozenset[int]

    def ids(self, text: str) -> list[int]:
        return [int(n) for n in self.reader.tokenizer(text, add_special_tokens=False)["input_ids"]]

    def request(self, text: str = TEXT, question: str = QUESTION, **more: Any) -> Request:
        return Request(question, (), text=self.reader.text_ids(text), **more)

    def prompt(self, text: str = TEXT, question: str = QUESTION) -> list[int]:
        ids: list[int] = self.reader.prompt(self.request(text, question)).ids.tolist()
        return ids

    def written(self, text: str, question: str) -> list[int]:
        """The chat as somebody types it who knows no image."""
        message = f"{text}\n{question}"
        if self.name == "glm4v_remote":
            marks = ["[gMASK]", "<sop>", "<|user|>", "\n"]
            start, end = (
                self.reader.tokenizer.convert_tokens_to_ids(part)
                for part in (marks, ["<|assistant|>", "\n"])
            )
            return [*start, *self.ids(message), *end]
        chat = [{"role": "user", "content": [{"type": "text", "text": message}]}]
        return self.ids(
            self.reader.tokenizer.apply_chat_template(
                chat, tokenize=False, add_generation_prompt=True
            )
        )


@pytest.fixture(scope="module", params=FAMILIES)
def subject(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Subject]:
    torch.set_num_threads(1)
    name, folder = request.param, tmp_path_factory.mktemp("text") / request.param
    if name == "glm4v_remote":
        with glm4v_remote_checkpoint.code_cache_in(folder.with_name("code")):
            path = glm4v_remote_checkpoint.build_checkpoint(folder)
            made = load_reader(remote_config(path))
            own = made.model.config  # type: ignore[attr-defined]
            yield Subject(name, made, frozenset({own.boi_token_id, own.eoi_token_id}))
        return
    made = load_reader(config_of(name, folder))
    yield Subject(name, made, frozenset({made.image_id}))  # type: ignore[attr-defined]


def remote_config(path: Path) -> ModelConfig:
    return ModelConfig(
        name="random",
        max_new_tokens=12,
        form=Form.short,
        render=CellsRender(),
        family=Family.glm4v_remote,
        path=str(path),
        trust_remote_code=True,
    )


@torch.no_grad()
def greedy(model: Any, ids: list[int], steps: int) -> list[int]:
    """Full passes over growing text, without a cache, `generate` or positions of ours."""
    found = list(ids)
    for _ in range(steps):
        at = torch.arange(len(found))[None]
        more = {"position_ids": at} if "ChatGLM" in type(model).__name__ else {}
        logits = model(input_ids=torch.tensor([found]), use_cache=False, **more).logits
        found.append(int(logits[0, -1].argmax()))
    return found[len(ids) :]


def test_the_prompt_is_the_chat_with_the_text_and_no_image(subject: Subject) -> None:
    ids = subject.prompt()
    assert ids == subject.written(TEXT, QUESTION)
    assert not subject.image & set(ids)
    prompt = subject.reader.prompt(subject.request())
    inside = subject.ids(TEXT)
    assert prompt.ids[prompt.end - len(inside) : prompt.end].tolist() == inside


def test_the_answer_is_that_of_the_model_alone(subject: Subject) -> None:
    answer = subject.reader.answer_batch([subject.request()])[0]
    ids = subject.written(TEXT, QUESTION)
    alone = greedy(subject.reader.model, ids, subject.reader.max_new_tokens)
    assert answer.raw_text == subject.reader.tokenizer.decode(alone, skip_special_tokens=True)
    assert len(set(alone)) > 2
    assert answer.vision_tokens_in == answer.vision_tokens_out == 0
    assert answer.decoder_tokens == len(ids) == subject.reader.prompt_tokens(subject.request())
    assert set(answer.cache_tokens) == {len(ids)}
    assert len(subject.reader.text_ids(TEXT)) == len(subject.ids(TEXT))


def test_a_batch_answers_as_its_samples_do(subject: Subject) -> None:
    requests = [subject.request(), subject.request(OTHER, "Which?")]
    together = subject.reader.answer_batch(requests)
    alone = [subject.reader.answer_batch([request])[0] for request in requests]
    assert [answer.text for answer in together] == [answer.text for answer in alone]
    assert alone[0].text != alone[1].text
    for one, batched in zip(alone, together, strict=True):
        times = {"prefill_ms": one.prefill_ms, "decode_ms": one.decode_ms}
        assert replace(batched, **times, batch_size=1) == one


@pytest.mark.parametrize("question", ["seen", "unseen"])
def test_the_cache_of_text_can_be_compressed(subject: Subject, question: Any) -> None:
    whole = subject.reader.answer_batch([subject.request()])[0]
    nothing = subject.request(compressor=KVRandom(Eviction(1.0, scope="all", question=question)))
    assert subject.reader.answer_batch([nothing])[0].text == whole.text
    evicting = KVRandom(Eviction(0.5, scope="vision", question=question))
    answer = subject.reader.answer_batch([subject.request(compressor=evicting)])[0]
    asked = len(subject.written(TEXT, QUESTION)) - len(subject.ids(TEXT))
    # Chat and question are no part of what may go.
    assert set(answer.cache_tokens) == {asked + (len(subject.ids(TEXT)) + 1) // 2}
    coded = subject.request(compressor=Kivi(bits=2, question=question))
    assert subject.reader.answer_batch([coded])[0].kv_cache_bytes < whole.kv_cache_bytes


def test_a_text_that_stands_for_an_image_is_refused(subject: Subject) -> None:
    name = subject.reader.tokenizer.convert_ids_to_tokens(min(subject.image))
    for request in (subject.request(f"{TEXT}{name}"), subject.request(TEXT, f"{name}?")):
        with pytest.raises(UserError, match="must not contain"):
            subject.reader.answer_batch([request])


def test_a_text_beyond_the_context_is_no_answer(subject: Subject) -> None:
    with pytest.raises(UserError, match="allowed: at most"):
        subject.reader.answer_batch([subject.request(TEXT * 40)])


def test_questions_behind_one_text_are_taught_as_each_alone(subject: Subject) -> None:
    questions = ((QUESTION, "old pond"), ("Which is next, and why?", "no"))
    text = subject.reader.text_ids(TEXT)
    with torch.no_grad():
        taught = subject.reader.teach([Exercise((), questions, text=text)])
        alone = [subject.reader.teach([Exercise((), (one,), text=text)]) for one in questions]
    logits = torch.cat([one.logits for one in alone])
    torch.testing.assert_close(taught.logits, logits, rtol=0.0, atol=1e-4)
    first = alone[0]
    ids = [*subject.written(TEXT, QUESTION), *subject.ids("old pond")]
    at = {"position_ids": torch.arange(len(ids))[None]} if subject.name == "glm4v_remote" else {}
    with torch.no_grad():
        own = subject.reader.model(input_ids=torch.tensor([ids]), **at).logits[0]
    expected = own[-len(first.labels) :]
    torch.testing.assert_close(first.logits, expected, rtol=0.0, atol=1e-4)


def test_pages_are_read_as_before_beside_text(subject: Subject) -> None:
    if subject.name == "glm4v_remote":
        pytest.skip("its page is a whole square, see test_glm4v_remote")
    kind = KINDS.get(subject.name, KINDS["glm4v"])
    vision = [keep_all(page) for page in subject.reader.encode(noise_pages(kind, ((2, 3),)))]
    before = subject.reader.answer(QUESTION, vision)
    subject.reader.answer_batch([subject.request()])
    assert subject.reader.answer(QUESTION, vision).text == before.text
    assert before.vision_tokens_in > 0


def test_a_template_that_drops_the_text_is_refused(tmp_path: Path) -> None:
    kind = KINDS["qwen2_vl"]
    reader = load_reader(configure(kind, write_checkpoint(kind, tmp_path / "reader")))
    assert reader.reads_text
    reader.tokenizer.chat_template = "<|user|><|assistant|>"  # type: ignore[attr-defined]
    with pytest.raises(UserError, match="must write a text once; it wrote it 0 times"):
        reader.answer_batch([Request(QUESTION, (), text=reader.text_ids(TEXT))])


def test_half_of_a_surrogate_pair_is_read_as_pages_show_it() -> None:
    """JSON can hold one; tokenizers refuse it."""
    assert readable("a\ud800b \U0001f600") == "a\ufffdb \U0001f600"
    reader = load_reader(compose(("tracking=off",)).model)
    assert torch.equal(reader.text_ids("a\ud800b"), reader.text_ids("a\ufffdb"))
    tokens = [keep_all(page) for page in reader.encode([np.full((336, 336), 255, np.uint8)])]
    one, other = (reader.answer(f"which {mark}?", tokens) for mark in ("\udc00", "\ufffd"))
    assert one.text == other.text
