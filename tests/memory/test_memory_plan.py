from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from llava_checkpoint import build_checkpoint
from reader_checkpoints import configure, noise_pages

from freqexp.benchmarks.generate import generate
from freqexp.composing.compose import compose
from freqexp.errors import UserError
from freqexp.memory import __main__ as memory
from freqexp.memory.geometry import NoGeometryError, geometry_of
from freqexp.memory.guard import check_memory
from freqexp.memory.plan import GIB, Room, free_room, page_size, plan
from freqexp.nouns.vision import keep_all
from freqexp.readers.base import Request
from freqexp.readers.load import load_reader
from freqexp.schemas.choices import Attention, Device, Dtype, Family
from freqexp.schemas.model import ModelConfig
from freqexp.schemas.render import CellsRender

# Sizes of GLM-4.1V-9B and Glyph, from their config.json.
TEXT = {
    "hidden_size": 4096,
    "intermediate_size": 13696,
    "num_hidden_layers": 40,
    "num_attention_heads": 32,
    "num_key_value_heads": 2,
    "vocab_size": 151552,
    "max_position_embeddings": 131072,
}
VISION = {
    "depth": 24,
    "hidden_size": 1536,
    "num_heads": 12,
    "intermediate_size": 13696,
    "out_hidden_size": 4096,
    "patch_size": 14,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
    "image_size": 336,
}
CARD = Room(40 * 10**9, "a card of 40 GB")


@pytest.fixture(scope="module")
def glyph(tmp_path_factory: pytest.TempPathFactory) -> ModelConfig:
    """`model=glyph` on a folder that holds a config and nothing else."""
    folder = tmp_path_factory.mktemp("glyph")
    config = {"model_type": "glm4v", "text_config": TEXT, "vision_config": VISION}
    (folder / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": False}))
    return compose(["model=glyph", f"model.path={folder}"]).model


def parameters_by_hand() -> int:
    """Weights of GLM-4.1V-9B, matrix by matrix."""
    decoder = 40 * (
        2 * 4096 * 4096  # queries and output
        + 2 * 4096 * 256  # keys and values, two heads of 128
        + 4096
        + 2 * 256  # biases of queries, keys and values
        + 3 * 4096 * 13696  # gate, up, down
        + 4 * 4096  # norms
    )
    embeddings = 2 * 151552 * 4096
    encoder = 24 * (1536 * 4608 + 1536 * 1536 + 3 * 1536 * 4096 + 2 * 1536)
    patches = 3 * 2 * 14 * 14 * 1536 + 1536 + 576 * 1536 + 2 * 1536
    merger = 4 * 1536 * 4096 + 4096 + 4096 * 4096 + 3 * 4096 * 13696 + 2 * 4096
    return decoder + embeddings + encoder + patches + merger + 4096


@pytest.mark.parametrize("pages", [1, 32, 100])
def test_the_plan_of_glyph_is_the_arithmetic_of_its_config(glyph: ModelConfig, pages: int) -> None:
    found = plan(glyph, [page_size(glyph.render)] * pages, text_tokens=500, room=CARD)
    tokens = 630 * pages + 500
    assert found.page_tokens == 630
    assert found.prompt_tokens == tokens
    assert found.weights_bytes == pytest.approx(2 * parameters_by_hand(), rel=1e-3)
    assert found.cache_bytes_per_token == 2 * 40 * 2 * 128 * 2 == 40_960
    assert found.cache_bytes == (tokens + 8192) * 40_960
    # The MLP of one layer: gate, up, activation, product; three copies of the hidden state.
    prefill = tokens * 2 * (4 * 13696 + 3 * 4096) + 630 * pages * 4096 * 2
    by_hand = 2 * parameters_by_hand() + (tokens + 8192) * 40_960 + prefill
    assert found.total_bytes == pytest.approx(by_hand, rel=0.1)
    assert found.fits is True
    found.require()


def test_what_cannot_fit_is_refused_with_advice(glyph: ModelConfig) -> None:
    pages = [(842, 595)] * 100
    wide = replace(glyph, dtype=Dtype.float32, attention=Attention.eager, batch_size=4)
    found = plan(wide, pages, room=CARD)
    assert found.fits is False
    with pytest.raises(UserError, match="nothing was loaded") as caught:
        found.require()
    text = str(caught.value)
    for advice in ("model.dtype=bfloat16", "model.attention=sdpa", "model.batch_size=1", "GPUs"):
        assert advice in text
    assert "does not fit: 37.3 GiB free on a card of 40 GB" in text
    small = plan(glyph, pages, room=Room(24 * 10**9, "a card"))
    assert small.advice()[0].startswith("fewer pages")
    assert plan(glyph, pages, room=Room(None, "a card")).fits is None


def test_every_choice_has_its_share(glyph: ModelConfig) -> None:
    geometry, pages = geometry_of(glyph), [(842, 595)] * 10

    def total(kept: float = 1.0, gpus: int = 1, **changes: Any) -> Any:
        room = replace(CARD, gpus=gpus)
        return plan(replace(glyph, **changes), pages, kept=kept, room=room, geometry=geometry)

    base = total()
    assert total(kept=0.5).prompt_tokens == 3150 + 512
    assert total(batch_size=3).cache_bytes == 3 * base.cache_bytes
    assert total(dtype=Dtype.float32).weights_bytes == 2 * base.weights_bytes
    assert total(gpus=4).weights_bytes == base.weights_bytes // 4
    assert total(max_new_tokens=16).cache_bytes == (6300 + 512 + 16) * 40_960
    eager = total(attention=Attention.eager).prefill_bytes
    assert eager > 32 * (6300 + 512) ** 2 * 8
    assert "over the context of 8000" in total(context=8000).lines()
    assert "over the context" not in base.lines()


def test_shapes_are_those_of_the_loaded_reader(loaded: Any) -> None:
    """Parameters, tokens a page and cache bytes of every family, beside what it really has."""
    config = configure(loaded.kind, loaded.folder)
    found = geometry_of(config)
    assert found.parameters == sum(p.numel() for p in loaded.reader.model.parameters())
    pages = noise_pages(loaded.kind, [(3, 4), (2, 5)])
    vision = loaded.reader.encode(pages)
    for page, tokens in zip(pages, vision, strict=True):
        assert found.page(*page.shape) == (4 * len(tokens.features), len(tokens.features))
        assert found.deepstack == len(tokens.deepstack)
    answer = loaded.reader.answer("what?", [keep_all(page) for page in vision])
    assert answer.kv_cache_bytes == answer.decoder_tokens * found.cache_bytes_per_token(4)


def test_shapes_of_llava_are_those_of_the_loaded_reader(tmp_path: Path, model_config: Any) -> None:
    folder = build_checkpoint(tmp_path / "llava")
    config = replace(model_config(folder), family=Family.llava_onevision)
    found, reader = geometry_of(config), load_reader(config)
    for height, width in ((60, 60), (150, 100), (90, 160), (168, 168)):
        page = np.full((height, width), 200, np.uint8)
        vision = [keep_all(grid) for grid in reader.encode([page])]
        tokens = reader.answer("what?", vision).vision_tokens_in
        assert found.page(height, width)[1] == tokens


def test_a_page_is_as_large_as_its_renderer_says() -> None:
    assert page_size(compose(["model=glyph", f"model.path={Path.cwd()}"]).model.render) == (
        842,
        595,
    )
    turns = generate(2, 1, 0, "short")[0].turns
    assert page_size(CellsRender()) == CellsRender().build().render(turns)[0].pixels.shape


def test_nothing_is_guessed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    model = compose(["model=qwen2_5_vl_3b"]).model
    with pytest.raises(NoGeometryError, match=r"Qwen2\.5-VL-3B-Instruct: no config"):
        geometry_of(model)
    with pytest.raises(NoGeometryError, match="no config"):
        geometry_of(replace(model, path=str(tmp_path), revision=None))
    remote = replace(model, family=Family.glm4v_remote, trust_remote_code=True)
    with pytest.raises(NoGeometryError, match="code that comes with the weights"):
        geometry_of(remote)


def test_without_the_hub_the_sizes_of_glyph_are_assumed_and_said_to_be(
    glyph: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    model = compose(["model=glyph", f"model.revision={'0' * 40}"]).model
    pages = [page_size(model.render)] * 32
    found = plan(model, pages, room=CARD)
    own = plan(glyph, pages, room=CARD)
    assert found.total_bytes == own.total_bytes
    assert found.context is None
    assert "the sizes of GLM-4.1V-9B are assumed" in found.lines()
    assert "assumed" not in own.lines()


def test_free_memory_is_read_where_the_model_will_be(glyph: ModelConfig) -> None:
    room = free_room(replace(glyph, device=Device.cpu))
    assert room.free_bytes is None or room.free_bytes > GIB // 8
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="no CUDA device"):
            free_room(replace(glyph, device=Device.cuda))


def test_the_command_prints_a_plan_for_each_number_of_pages(
    glyph: ModelConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["model=glyph", f"model.path={glyph.path}", "memory_gb=40"]
    assert memory.main([*given, "pages=1,100"]) == 0
    shown = capsys.readouterr().out
    assert "1 page of 630 tokens" in shown
    assert "100 pages of up to 630 tokens" in shown
    assert memory.main([*given, "pages=100", "model.dtype=float32"]) == 1
    assert memory.main([*given, "pages=none"]) == 2
    assert "pages: got 'none', allowed: a whole number above 0" in capsys.readouterr().err


@pytest.fixture
def samples() -> Any:
    return generate(2, 3, 0, "short")


def test_a_run_prints_its_plan_and_refuses_what_cannot_fit(
    glyph: ModelConfig,
    samples: Any,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    where = [f"model.path={glyph.path}", "model=glyph"]
    cfg = compose([*where, "compressor=token", "keep_ratio=0.25"])
    room = Room(64 * GIB, "a card")
    monkeypatch.setattr(
        "freqexp.memory.plan.free_room", lambda model, gpus: replace(room, gpus=gpus)
    )
    check_memory(cfg, samples)
    assert "memory plan of glyph, bfloat16" in capsys.readouterr().err
    room = Room(8 * GIB, "a small card")
    with pytest.raises(UserError, match=r"does not fit: 8\.0 GiB free on a small card"):
        check_memory(cfg, samples)


def test_a_run_without_a_config_says_that_it_has_no_plan(
    samples: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check_memory(compose(["model=glyph", f"model.path={tmp_path}"]), samples)
    assert "memory plan: not available for" in capsys.readouterr().err
    check_memory(compose(), samples)
    assert capsys.readouterr().err == ""


def test_the_prompt_of_a_batch_is_not_counted_once(
    glyph: ModelConfig, loaded: Any, model_config: Callable[..., ModelConfig]
) -> None:
    """The cache of a batch, measured on a small model, is what the plan says of it."""
    config = replace(configure(loaded.kind, loaded.folder), batch_size=2)
    pages = noise_pages(loaded.kind, [(3, 4)])
    vision = [keep_all(page) for page in loaded.reader.encode(pages)]
    answers = loaded.reader.answer_batch([Request("what?", vision)] * 2)
    text = answers[0].decoder_tokens - 12
    found = plan(config, [pages[0].shape[:2]], text_tokens=text, room=CARD)
    new = 2 * config.max_new_tokens * found.cache_bytes_per_token
    assert found.cache_bytes == sum(answer.kv_cache_bytes for answer in answers) + new


def test_a_run_of_text_is_planned_by_its_characters(
    glyph: ModelConfig,
    samples: Any,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    where = [f"model.path={glyph.path}", "model=glyph", "model.input=text"]
    room = Room(64 * GIB, "a card")
    monkeypatch.setattr("freqexp.memory.plan.free_room", lambda model, gpus: room)
    longest = max(sample.characters for sample in samples)
    for settings, tokens in (
        (["compressor=none"], longest // 3),
        (["compressor=truncate", "keep_ratio=0.5"], round(0.5 * (longest // 3))),
        (["compressor=truncate", "keep_tokens=70"], 70),
    ):
        check_memory(compose([*where, *settings]), samples)
        said = capsys.readouterr().err
        assert "memory plan of glyph, bfloat16, text and no pages, batch 1" in said
        assert f"{512 + tokens} prompt + " in said
