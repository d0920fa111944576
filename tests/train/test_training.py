"""The training code says the same as transformers, and can be cut off anywhere."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers.models.glm4v.image_processing_pil_glm4v import Glm4vImageProcessorPil

from freqexp.benchmarks.short import question_text
from freqexp.benchmarks.text import short_sentences
from freqexp.errors import UserError
from freqexp.pages.cells import CellsRenderer
from freqexp.paths import conf_dir
from freqexp.train import checkpoint, stages
from freqexp.train.__main__ import train
from freqexp.train.config import load
from freqexp.train.data import ExampleMaker
from freqexp.train.decoder import collate, embed
from freqexp.train.model import build_model, decode
from freqexp.train.tokenizer import ALPHABET, CharacterCode, build_tokenizer
from freqexp.train.vision import PageMaker, patches

TINY = conf_dir() / "train" / "tiny.yaml"


@pytest.fixture(scope="module")
def renderer() -> CellsRenderer:
    return CellsRenderer(columns=24, rows=12, cell_width=14, cell_height=28, font_px=23.25)


@pytest.fixture(scope="module")
def code() -> CharacterCode:
    return CharacterCode(192, 12, 12)


@pytest.mark.parametrize("text", ["31o3dcnxwf", "hello there, you.", "Ünïcode too", "a\nb", ""])
def test_tokenizer_round_trip(text: str) -> None:
    tokenizer = build_tokenizer()
    ids = tokenizer(text)["input_ids"]
    expected = "".join(c if c.isascii() else "" for c in text)
    assert tokenizer.decode(ids, skip_special_tokens=True) == expected


def test_question_is_a_few_phrases_and_pairs() -> None:
    tokenizer = build_tokenizer()
    question = question_text("31o3dcnxwf", 3, "poem about bears")
    pieces = tokenizer.tokenize(question)
    assert pieces[:3] == ["Prepend ", "31", "o3"]
    assert pieces[6:9] == [" to the 3rd (1 indexed) ", "po", "em"]
    assert tokenizer.decode(tokenizer(question)["input_ids"]) == question


def test_patches_are_those_of_the_image_processor() -> None:
    rng = np.random.default_rng(0)
    pages = rng.integers(0, 256, (2, 336, 336), dtype=np.uint8)
    images = [np.stack([page] * 3, axis=-1) for page in pages]
    expected = Glm4vImageProcessorPil()(images=images, return_tensors="pt")["pixel_values"]
    assert torch.equal(patches(torch.from_numpy(pages).float()), expected)


def test_drawn_pages_are_the_rendered_ones(renderer: CellsRenderer) -> None:
    maker = PageMaker(renderer)
    pages, symbols = maker.batch(random.Random(0), 6)
    for page, grid in zip(pages, symbols, strict=True):
        lines = ["".join(ALPHABET[i] for i in row.flatten().tolist()) for row in grid]
        assert np.array_equal(page.numpy(), renderer.draw(lines))


@torch.no_grad()
def test_decoder_is_that_of_transformers(renderer: CellsRenderer, code: CharacterCode) -> None:
    model: Any = build_model(code)
    example = ExampleMaker(renderer).make(random.Random(0), 2, 6, 1)
    batch = collate([example], random.Random(0), guided=True)
    table = model.model.language_model.embed_tokens.weight
    inputs = embed(code, table, batch, 0.0)
    ours, _, _ = decode(model.model.language_model, inputs, batch.positions, batch.mask)
    is_image = batch.ids == model.config.image_token_id
    grid = torch.tensor([[1, 24, 24]] * len(example.symbols))
    positions, _ = model.model.get_rope_index(batch.ids, is_image.int(), image_grid_thw=grid)
    assert torch.equal(batch.positions, positions)
    theirs = model.model.language_model(inputs_embeds=inputs, position_ids=positions)
    torch.testing.assert_close(ours, theirs.last_hidden_state, rtol=1e-4, atol=1e-4)


def test_questions_do_not_see_each_other(renderer: CellsRenderer) -> None:
    example = ExampleMaker(renderer).make(random.Random(3), 2, 6, 4)
    batch = collate([example], random.Random(0), guided=True)
    block = torch.tensor(example.block)
    seen = batch.mask[0]
    for k in range(1, 5):
        own, others = block == k, (block != k) & (block != 0)
        assert not seen[own][:, others].any()
        assert seen[own][:, block == 0].all()
    assert not seen.triu(1).any()


def test_answers_are_copied_from_where_they_stand(renderer: CellsRenderer) -> None:
    maker = ExampleMaker(renderer)
    example = maker.make(random.Random(4), 4, 8, 3)
    pieces = {i: piece for piece, i in maker.vocabulary.items()}
    drawn = example.symbols.reshape(-1, 2)
    place = {token: i for i, token in enumerate(example.image_at)}
    copied = 0
    for query, (source,) in example.looks["copy"]:
        label = pieces[example.labels[query]]
        if label == "<|endoftext|>":
            continue
        if source in place:
            assert label == "".join(ALPHABET[i] for i in drawn[place[source]])
            copied += 1
        else:
            assert label == pieces[example.ids[source]]
    assert copied > 20


def test_training_never_reads_evaluation_texts(renderer: CellsRenderer) -> None:
    evaluation = set(short_sentences("eval"))
    for maker in (ExampleMaker(renderer), PageMaker(renderer)):
        assert maker.texts
        assert not evaluation & set(maker.texts)


def small(out: Path) -> list[str]:
    return [
        f"out={out}",
        "checkpoint_every=1",
        "vision.steps=2",
        "vision.batch=1",
        "decoder.steps=3",
        "decoder.positions=300",
        "joint.steps=2",
        "joint.positions=300",
    ]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The weights of a training that nothing interrupts."""
    folder = train(load(TINY, small(tmp_path_factory.mktemp("whole"))))
    return (folder / "model.safetensors").read_bytes()


@pytest.mark.parametrize(("stage", "step"), [("vision", 1), ("decoder", 2), ("joint", 0)])
def test_cut_off_and_continued_is_uninterrupted(
    stage: str,
    step: int,
    uninterrupted: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        advance = stages.Stage.advance

        def cut(self: stages.Stage) -> str:
            if (self.name, self.step) == (stage, step):
                raise KeyboardInterrupt
            return advance(self)

        patch.setattr(stages.Stage, "advance", cut)
        with pytest.raises(KeyboardInterrupt):
            train(load(TINY, small(tmp_path / "cut")))
    continued = train(load(TINY, small(tmp_path / "cut")))
    assert (continued / "model.safetensors").read_bytes() == uninterrupted


@pytest.mark.parametrize("wrong", ["vision.stepz=3", "decoder.steps=many", "nothing=1"])
def test_unknown_or_mistyped_setting(wrong: str) -> None:
    with pytest.raises(UserError, match="training: "):
        load(TINY, [wrong])


class Payload:
    """A pickle that leaves a file behind where it is loaded without care."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> Any:
        return Path.touch, (self.proof,)


def test_a_checkpoint_runs_no_code(tmp_path: Path) -> None:
    proof, file = tmp_path / "proof", tmp_path / "checkpoint.pt"
    torch.save({"stage": 0, "state": Payload(proof)}, file)
    with pytest.raises(UserError, match=r"checkpoint\.pt: not a checkpoint that can be read"):
        checkpoint.load(file)
    assert not proof.exists()
    torch.load(file, weights_only=False)
    assert proof.exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 torn", b"no archive"])
def test_a_damaged_checkpoint_is_the_users_to_mend(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(content)
    with pytest.raises(UserError, match="move it away to start afresh"):
        checkpoint.load(tmp_path / "checkpoint.pt")


def test_something_else_is_no_checkpoint(tmp_path: Path) -> None:
    torch.save({"weights": torch.zeros(3)}, tmp_path / "checkpoint.pt")
    with pytest.raises(UserError, match="not a checkpoint of this training"):
        checkpoint.load(tmp_path / "checkpoint.pt")
