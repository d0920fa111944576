"""GLM-4.1V's own: the bundled reader's real answers, thinking models, ends of answers."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from reader_checkpoints import KINDS, Plain, configure, write_checkpoint
from torch import Tensor

from freqexp.benchmarks.mrcr import grade
from freqexp.benchmarks.short import short_sample
from freqexp.errors import UserError
from freqexp.nouns.vision import VisionTokens, keep_all
from freqexp.readers import bundled
from freqexp.readers.base import Request
from freqexp.readers.families.glm4v import Glm4vReader
from freqexp.schemas.model import ModelConfig
from freqexp.schemas.render import CellsRender

KIND = KINDS["glm4v"]
SAMPLES = 24


@pytest.fixture(scope="module")
def thinker(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Glm4vReader]:
    """Makes a reader with `answer_after`, for its tokenizer."""
    folder = write_checkpoint(KIND, tmp_path_factory.mktemp("thinker"))

    def make(mark: str | None) -> Glm4vReader:
        return Glm4vReader.load(replace(configure(KIND, folder), answer_after=mark))

    return make


def requests(reader: Glm4vReader, count: int) -> tuple[list[Request], list[SimpleNamespace]]:
    samples = [short_sample(random.Random(f"bar{n}"), 2, "eval") for n in range(count)]
    drawn = [[page.pixels for page in CellsRender().build().render(s.turns)] for s in samples]
    made = [
        Request(sample.question, [keep_all(page) for page in reader.encode(pages)])
        for sample, pages in zip(samples, drawn, strict=True)
    ]
    facts = [SimpleNamespace(sample=s, pages=p) for s, p in zip(samples, drawn, strict=True)]
    return made, facts


@pytest.mark.slow
def test_the_bundled_reader_reads(reader: Glm4vReader) -> None:
    made, facts = requests(reader, SAMPLES)
    answers = [a for start in range(0, SAMPLES, 8) for a in reader.answer_batch(made[start:][:8])]
    scores = [grade(a.text, f.sample).score for a, f in zip(answers, facts, strict=True)]
    assert len({answer.text for answer in answers}) == SAMPLES
    assert not any(answer.truncated for answer in answers)
    assert sum(scores) / SAMPLES >= 0.75


def test_real_answers_are_plain_generate_alone_and_together(reader: Glm4vReader) -> None:
    made, facts = requests(reader, 3)
    plain = Plain.load(KIND, bundled.folder())
    together = reader.answer_batch(made)
    for request, fact, batched in zip(made, facts, together, strict=True):
        answer = reader.answer(request.question, request.vision)
        expected = plain.generate(request.question, fact.pages, 48).split("<|endoftext|>")[0]
        assert answer.text == batched.text == expected
        assert answer.new_tokens == batched.new_tokens
        assert not answer.truncated
        assert len(expected) > 15


def test_truncated_when_the_end_did_not_come(model_config: Callable[..., ModelConfig]) -> None:
    reader = Glm4vReader.load(model_config(None, 4))
    answers = reader.answer_batch(requests(reader, 2)[0])
    assert [answer.truncated for answer in answers] == [True, True]
    assert [answer.new_tokens for answer in answers] == [4, 4]


def spell(reader: Glm4vReader, text: str) -> Tensor:
    return torch.tensor(reader.tokenizer(text, add_special_tokens=False)["input_ids"])


@pytest.mark.parametrize("special", [False, True])
@pytest.mark.parametrize(
    ("generated", "answer"),
    [
        ("<think>hm</think>\n abc</answer> ", "abc</answer> "),
        ("a</think>b</think>  c</think> \n d", "d"),
        ("no mark at all", "no mark at all"),
        (" kept ", " kept "),
        ("hm</think>", ""),
        ("hm</think><answer>\nabc d\n</answer>\n", "abc d"),
        ("hm</think><answer>abc <answer> d", "abc <answer> d"),
    ],
)
def test_the_answer_is_what_follows_the_last_mark(
    thinker: Callable[..., Glm4vReader], generated: str, answer: str, special: bool
) -> None:
    reader = thinker("</think>")
    if special:
        reader.tokenizer.add_special_tokens({"extra_special_tokens": ["</think>"]})
    assert reader.final_answer(spell(reader, generated)) == answer


def test_a_mark_of_several_tokens(thinker: Callable[..., Glm4vReader]) -> None:
    reader = thinker("Answer:")
    assert reader.final_answer(spell(reader, "so. Answer: 3. Answer: 4")) == "4"


def test_without_a_mark_nothing_is_cut(thinker: Callable[..., Glm4vReader]) -> None:
    text = "a</think> <answer>b</answer> "
    reader = thinker(None)
    assert reader.final_answer(spell(reader, text)) == text


def test_page_beyond_the_limit_names_its_number_and_sizes(reader: Glm4vReader) -> None:
    pages = [np.zeros((336, 336), np.uint8), np.zeros((842, 595), np.uint8)]
    with pytest.raises(UserError, match=r"page 2: got 595 x 842 px, allowed: .*144 vision tokens"):
        reader.encode(pages)


def test_prompt_beyond_the_context_names_both_lengths(reader: Glm4vReader) -> None:
    token = VisionTokens(torch.zeros(144, 192), (12, 12))
    with pytest.raises(UserError, match=r"needs 5\d\d\d prompt .* at most 4096"):
        reader.answer("what?", [keep_all(token)] * 35)


def test_rectangular_and_coloured_pages_keep_their_grid(reader: Glm4vReader) -> None:
    pages = [np.full((280, 112), 255, np.uint8), np.full((56, 336, 3), 255, np.uint8)]
    vision = reader.encode(pages)
    assert [page.grid for page in vision] == [(10, 4), (2, 12)]
    answer = reader.answer("what?", [keep_all(page) for page in vision])
    assert answer.vision_tokens_out == 40 + 24


def test_a_checkpoint_of_the_training_loads(
    random_checkpoint: Path, model_config: Callable[..., ModelConfig]
) -> None:
    reader = Glm4vReader.load(model_config(random_checkpoint))
    assert reader.encode([np.full((56, 56), 255, np.uint8)])[0].features.shape == (4, 192)
