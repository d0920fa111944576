"""A reader that is taught: the logits of questions that share their pages are those of each alone,
and gradients reach what asks for them.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import llava_checkpoint
import numpy as np
import pytest
import torch
from reader_checkpoints import HIDDEN, KINDS, LAYERS, WORDS, build_tokenizer, configure, noise_pages
from reader_fixtures import Loaded
from torch import Tensor

from freqexp.benchmarks.short import short_sample
from freqexp.errors import UserError
from freqexp.nouns.page import Pixels
from freqexp.nouns.teaching import Exercise, Taught
from freqexp.nouns.vision import CompressedTokens, VisionTokens, keep_all
from freqexp.readers.base import Request
from freqexp.readers.decoding import end_token
from freqexp.readers.families.glm4v import Glm4vReader
from freqexp.readers.families.hf import HfReader
from freqexp.readers.families.llava_onevision import LlavaOnevisionReader
from freqexp.readers.load import load_reader
from freqexp.schemas.choices import Attention, Dtype, Family
from freqexp.schemas.model import ModelConfig
from freqexp.schemas.render import CellsRender

SIZES = ((3, 4), (2, 5))
QUESTIONS = (("What?", "a tapir"), ("Who says it, and why?", "No"), ("Where is it?", ""))
END = WORDS.index("<|end|>")


def same(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=0.0, atol=1e-4)


@pytest.fixture(scope="module", params=["sdpa", "eager"])
def taught_reader(request: pytest.FixtureRequest, loaded: Loaded) -> HfReader:
    config = replace(configure(loaded.kind, loaded.folder), attention=Attention(request.param))
    reader = load_reader(config)
    assert isinstance(reader, HfReader)
    return reader


def keep(page: VisionTokens, every: int) -> CompressedTokens:
    """Every second (third, ...) token of a page."""
    kept = torch.arange(1, len(page.features), every)
    deepstack = tuple(layer[kept] for layer in page.deepstack)
    return CompressedTokens(page.features[kept], kept, page.grid, deepstack=deepstack)


def tokens(reader: HfReader, pages: Sequence[Pixels], every: int) -> list[CompressedTokens]:
    encoded = reader.encode(pages)
    return [keep_all(page) if every == 1 else keep(page, every) for page in encoded]


def answers_of(taught: Taught) -> list[list[int]]:
    """Labels question by question."""
    borders = [*taught.firsts.tolist(), len(taught.labels)]
    return [taught.labels[a:b].tolist() for a, b in itertools.pairwise(borders)]


def codes(reader: HfReader, text: str) -> list[int]:
    return [int(code) for code in reader.tokenizer(text, add_special_tokens=False)["input_ids"]]


@pytest.mark.parametrize("every", [1, 2], ids=["all", "half"])
def test_logits_are_those_of_each_question_alone(
    loaded: Loaded, taught_reader: HfReader, every: int
) -> None:
    pages = noise_pages(loaded.kind, SIZES)
    vision = tokens(taught_reader, pages, every)
    with torch.no_grad():
        taught = taught_reader.teach([Exercise(vision, QUESTIONS)])
    expected = [codes(taught_reader, answer) for _, answer in QUESTIONS]
    assert answers_of(taught) == [[*answer, END] for answer in expected]
    by_hand = [
        loaded.plain.taught_by_hand(question, pages, [page.kept for page in vision], answer)
        for (question, _), answer in zip(QUESTIONS, expected, strict=True)
    ]
    same(taught.logits, torch.cat(by_hand))
    assert taught.states == ()


def test_nothing_compressed_is_the_model_s_own_forward(
    loaded: Loaded, taught_reader: HfReader
) -> None:
    pages = noise_pages(loaded.kind, SIZES)
    (question, answer), told = QUESTIONS[0], codes(taught_reader, QUESTIONS[0][1])
    inputs = loaded.plain.inputs(question, pages)
    ids = torch.cat([inputs["input_ids"], torch.tensor([told])], dim=1)
    types = (ids == taught_reader.image_id).int()
    with torch.no_grad():
        plain = loaded.plain.model(**{**inputs, "input_ids": ids, "mm_token_type_ids": types})
        taught = taught_reader.teach(
            [Exercise(tokens(taught_reader, pages, 1), [QUESTIONS[1], (question, answer)])]
        )
    own = taught.logits[taught.firsts[1] :]
    same(own, plain.logits[0, -len(told) - 1 :])


@pytest.mark.parametrize("every", [1, 2], ids=["all", "half"])
def test_a_greedy_answer_is_what_is_most_likely(
    loaded: Loaded, taught_reader: HfReader, every: int
) -> None:
    vision = tokens(taught_reader, noise_pages(loaded.kind, SIZES), every)
    told = [
        (question, str(taught_reader.answer(question, vision).raw_text))
        for question, _ in QUESTIONS
    ]
    with torch.no_grad():
        taught = taught_reader.teach([Exercise(vision, told)])
    # These models never end, so the last label of an answer is not theirs.
    ends = [*(taught.firsts[1:] - 1).tolist(), len(taught.labels) - 1]
    inside = torch.ones(len(taught.labels), dtype=torch.bool)
    inside[ends] = False
    assert taught.labels[~inside].tolist() == [END] * 3
    assert torch.equal(taught.logits.argmax(-1)[inside], taught.labels[inside])
    assert inside.sum() == 36


def test_no_question_sees_another_one_or_its_answer(
    loaded: Loaded, taught_reader: HfReader
) -> None:
    vision = tokens(taught_reader, noise_pages(loaded.kind, SIZES), 2)
    other = [("Why not?", "Because it rains"), *QUESTIONS[1:]]
    with torch.no_grad():
        one = taught_reader.teach([Exercise(vision, QUESTIONS)])
        two = taught_reader.teach([Exercise(vision, other)])
        alone = taught_reader.teach([Exercise(vision, QUESTIONS[1:])])
    rest = one.logits[one.firsts[1] :]
    same(rest, two.logits[two.firsts[1] :])
    same(rest, alone.logits)


def test_a_batch_is_what_each_exercise_is_alone(loaded: Loaded, taught_reader: HfReader) -> None:
    exercises = [
        Exercise(tokens(taught_reader, noise_pages(loaded.kind, sizes, number), every), asked)
        for number, (sizes, every, asked) in enumerate(
            [(SIZES, 2, QUESTIONS[:1]), (SIZES[:1], 1, QUESTIONS), (SIZES, 1, QUESTIONS[1:])]
        )
    ]
    with torch.no_grad():
        together = taught_reader.teach(exercises, states=True)
        alone = [taught_reader.teach([exercise], states=True) for exercise in exercises]
    same(together.logits, torch.cat([one.logits for one in alone]))
    assert torch.equal(together.labels, torch.cat([one.labels for one in alone]))
    starts = np.cumsum([0, *(len(one.labels) for one in alone)])[:-1]
    firsts = [one.firsts + int(start) for one, start in zip(alone, starts, strict=True)]
    assert torch.equal(together.firsts, torch.cat(firsts))
    for row, one in enumerate(alone):
        length = one.places.shape[1]
        assert torch.equal(together.places[row, :length], one.places[0])
        assert (together.places[row, length:] == -1).all()
        assert torch.equal(together.vision[row, :length], one.vision[0])
        assert not together.vision[row, length:].any()
        for states, own in zip(together.states, one.states, strict=True):
            same(states[row, :length], own[0])


def test_places_are_those_of_the_exercise_with_every_token(
    loaded: Loaded, taught_reader: HfReader
) -> None:
    pages = noise_pages(loaded.kind, SIZES)
    whole = taught_reader.teach([Exercise(tokens(taught_reader, pages, 1), QUESTIONS)])
    few = taught_reader.teach([Exercise(tokens(taught_reader, pages, 2), QUESTIONS)])
    length = whole.places.shape[1]
    assert whole.places[0].tolist() == list(range(length))
    assert int(whole.vision.sum()) == sum(rows * columns for rows, columns in SIZES)
    places = few.places[0]
    assert len(set(places.tolist())) == len(places) < length
    assert torch.equal(whole.vision[0, places], few.vision[0])
    # What is not there are the dropped tokens of pages.
    gone = set(range(length)) - set(places.tolist())
    assert len(gone) == int(whole.vision.sum() - few.vision.sum())
    assert all(whole.vision[0, place] for place in gone)


def test_states_are_those_after_each_layer(loaded: Loaded, taught_reader: HfReader) -> None:
    vision = tokens(taught_reader, noise_pages(loaded.kind, SIZES), 2)
    hooks = [len(m._forward_pre_hooks) for m in taught_reader.model.modules()]
    with torch.no_grad():
        taught = taught_reader.teach([Exercise(vision, QUESTIONS[:1])], states=True)
        last = taught_reader.text_model.norm(taught.states[-1][0, -len(taught.labels) :])
        logits = taught_reader.model.lm_head(last)
    assert [state.shape for state in taught.states] == [(*taught.places.shape, HIDDEN)] * LAYERS
    same(taught.logits, logits)
    assert not torch.equal(taught.states[0], taught.states[1])
    assert hooks == [len(m._forward_pre_hooks) for m in taught_reader.model.modules()]


def with_gradients(vision: Sequence[CompressedTokens]) -> list[CompressedTokens]:
    def own(features: Tensor) -> Tensor:
        return features.clone().requires_grad_()

    return [
        replace(page, features=own(page.features), deepstack=tuple(map(own, page.deepstack)))
        for page in vision
    ]


def loss_of(taught: Taught) -> Tensor:
    return torch.nn.functional.cross_entropy(taught.logits, taught.labels)


def decoder_gradients(reader: Any) -> dict[str, Tensor]:
    return {
        name: parameter.grad
        for name, parameter in reader.text_model.named_parameters()
        if parameter.grad is not None
    }


@pytest.mark.parametrize("checkpointing", [False, True])
def test_gradients_reach_tokens_and_decoder(
    loaded: Loaded, taught_reader: HfReader, checkpointing: bool
) -> None:
    vision = tokens(taught_reader, noise_pages(loaded.kind, SIZES), 2)
    pages, model = with_gradients(vision), taught_reader.model
    if checkpointing:
        model.activation_checkpointing_enable()
        model.train()
    try:
        taught = taught_reader.teach([Exercise(pages, QUESTIONS)], states=True)
        (loss_of(taught) + taught.states[0].square().mean()).backward()
        for page in pages:
            for features in (page.features, *page.deepstack):
                assert features.grad is not None
                assert (features.grad.abs().amax(dim=1) > 0).all()
        found = decoder_gradients(taught_reader)
        assert len(found) == len(list(taught_reader.text_model.parameters()))
        assert all(gradient.abs().max() > 0 for gradient in found.values())
        # The loss falls along the gradient, as a finite difference says.
        first, step = pages[0].features, 1e-2
        assert first.grad is not None
        moved = [replace(pages[0], features=first.detach() - step * first.grad), *vision[1:]]
        with torch.no_grad():
            nearer = taught_reader.teach([Exercise(moved, QUESTIONS)], states=True)
            lower = loss_of(nearer) + nearer.states[0].square().mean()
            before = loss_of(taught) + taught.states[0].square().mean()
        expected = step * first.grad.square().sum()
        torch.testing.assert_close(before - lower, expected, rtol=0.1, atol=1e-7)
    finally:
        model.activation_checkpointing_disable()
        model.eval()
        model.zero_grad()


def test_tokens_made_in_inference_mode_can_be_used(loaded: Loaded) -> None:
    vision = [keep_all(page) for page in loaded.reader.encode(noise_pages(loaded.kind, SIZES))]
    assert vision[0].features.is_inference()
    loss_of(loaded.reader.teach([Exercise(vision, QUESTIONS)])).backward()
    assert decoder_gradients(loaded.reader)
    loaded.reader.model.zero_grad()


def test_half_precision_rounds_and_no_more(loaded: Loaded, taught_reader: HfReader) -> None:
    config = configure(loaded.kind, loaded.folder)
    attention = Attention(taught_reader.text_model.config._attn_implementation)
    half = load_reader(replace(config, attention=attention, dtype=Dtype.bfloat16))
    assert isinstance(half, HfReader)
    vision = tokens(taught_reader, noise_pages(loaded.kind, SIZES), 2)
    with torch.no_grad():
        exact = taught_reader.teach([Exercise(vision, QUESTIONS)])
        rounded = half.teach([Exercise(vision, QUESTIONS)])
    assert rounded.logits.dtype == torch.bfloat16
    difference = (rounded.logits.float() - exact.logits).abs().mean()
    assert 0 < difference < 0.05 * exact.logits.std()


def test_what_can_not_be_taught(loaded: Loaded) -> None:
    reader = loaded.reader
    vision = [keep_all(page) for page in reader.encode(noise_pages(loaded.kind, SIZES))]
    for exercises, said in [
        ([], "exercises: got none"),
        ([Exercise(vision, [])], "exercise 1: got no questions"),
        ([Exercise([], QUESTIONS)], "exercise 1: sample: got no pages"),
        ([Exercise(vision, [("a <|image|>", "")])], "exercise 1: question: must not contain"),
        ([Exercise(vision, [("a", "<|image|>")])], "exercise 1: answer: must not contain"),
        ([Exercise(vision, [("a", "b" * 2030)])], r"needs 29 prompt and 2031 .* at most 2048"),
        ([Exercise(vision, QUESTIONS), Exercise(vision[:1], [])], "exercise 2"),
    ]:
        with pytest.raises(UserError, match=said):
            reader.teach(exercises)


def test_attention_that_takes_no_mask_is_refused(
    loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    vision = [keep_all(page) for page in loaded.reader.encode(noise_pages(loaded.kind, SIZES))]
    text = loaded.reader.text_model.config
    monkeypatch.setattr(text, "_attn_implementation_internal", "flash_attention_2")
    with pytest.raises(UserError, match=r"model.attention: got 'flash_attention_2', allowed: sdpa"):
        loaded.reader.teach([Exercise(vision, QUESTIONS)])


def test_an_answer_ends_as_the_chat_template_ends_it() -> None:
    tokenizer = build_tokenizer()
    user = WORDS.index("<|user|>")
    parts = "{% for part in message.content %}{{ part.text }}{% endfor %}"
    for said, ends, expected in [
        ("{{ message.content }}<|end|>", [1, 0], END),
        (f"{parts}<|end|>\n", [0, 1], END),
        ("{{ message.content }}", [1, user], user),
        ("{{ message.content }}.", [1, user], 1),
        ("{{ raise_exception('no') }}", [0, 1], 0),
    ]:
        tokenizer.chat_template = (
            "{% for message in messages %}{% if message.role == 'user' %}<|user|>"
            + parts
            + "{% else %}<|assistant|>"
            + said
            + "{% endif %}{% endfor %}"
        )
        assert end_token(tokenizer, ends) == expected, said


def test_the_bundled_reader_is_taught_what_it_answers(reader: Glm4vReader) -> None:
    """Real answers, which end."""
    sample = short_sample(random.Random("bar0"), 2, "eval")
    pages = [page.pixels for page in CellsRender().build().render(sample.turns)]
    vision = [keep_all(page) for page in reader.encode(pages)]
    other = sample.question.replace(sample.prefix, sample.prefix[::-1])
    answers = [(asked, reader.answer(asked, vision)) for asked in (sample.question, other)]
    assert not any(answer.truncated for _, answer in answers)
    told = [(asked, str(answer.raw_text)) for asked, answer in answers]
    with torch.no_grad():
        taught = reader.teach([Exercise(vision, told)])
    assert torch.equal(taught.logits.argmax(-1), taught.labels)
    assert [answer[-1] for answer in answers_of(taught)] == reader._ends * 2


@dataclass(frozen=True, eq=False)
class Llava:
    reader: LlavaOnevisionReader
    pages: list[Pixels]


@pytest.fixture(scope="module", params=["sdpa", "eager"])
def llava(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    model_config: Callable[..., ModelConfig],
) -> Llava:
    torch.set_num_threads(1)
    folder = llava_checkpoint.build_checkpoint(tmp_path_factory.mktemp("llava") / "reader")
    config = replace(
        model_config(folder),
        family=Family.llava_onevision,
        attention=Attention(request.param),
    )
    source = np.random.default_rng(0)
    pages = [source.integers(0, 256, size, dtype=np.uint8) for size in ((168, 90), (40, 168))]
    return Llava(LlavaOnevisionReader.load(config), pages)


def test_llava_is_its_own_forward(llava: Llava) -> None:
    reader = llava.reader
    vision = [keep_all(grid) for grid in reader.encode(llava.pages)]
    images = [np.stack([page] * 3, axis=-1) for page in llava.pages]
    own = []
    for question, answer in QUESTIONS:
        prompt, told = reader.prompt(Request(question, vision)).ids, codes(reader, answer)
        ids = torch.cat([prompt, torch.tensor(told, dtype=torch.int64)])[None]
        with torch.no_grad():
            output = reader.model(ids, **reader.processor(images=images, return_tensors="pt"))
        own.append(output.logits[0, -len(told) - 1 :])
    with torch.no_grad():
        taught = reader.teach([Exercise(vision, QUESTIONS)])
    same(taught.logits, torch.cat(own))


def test_llava_is_taught_what_it_answers(llava: Llava) -> None:
    reader = llava.reader
    grids = reader.encode(llava.pages)
    few = [keep(grid, 3) for grid in grids]
    told = [(question, str(reader.answer(question, few).raw_text)) for question, _ in QUESTIONS]
    pages = with_gradients(few)
    taught = reader.teach([Exercise(pages, told)], states=True)
    guesses = taught.logits.argmax(-1)
    for row, (label, guess) in enumerate(zip(taught.labels, guesses, strict=True)):
        assert label == guess or int(label) == reader._ends[0], row
    assert len(taught.states) == llava_checkpoint.LAYERS
    whole = reader.teach([Exercise([keep_all(grid) for grid in grids], told)])
    assert whole.places[0].tolist() == list(range(whole.places.shape[1]))
    assert torch.equal(whole.vision[0, taught.places[0]], taught.vision[0])
    loss_of(taught).backward()
    for page in pages:
        assert page.features.grad is not None
        assert (page.features.grad.abs().amax(dim=1) > 0).all()
    assert decoder_gradients(reader)
    reader.model.zero_grad()


def test_every_family_of_transformers_is_here() -> None:
    others = ("llava_onevision", "glm4v_remote", "ppocr", "api", "outside")
    assert {*KINDS, *others} == {family.value for family in Family}
