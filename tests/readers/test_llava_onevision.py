"""LLaVA-OneVision: dropped tokens leave the sequence, nothing dropped is the family's own answer.

The checkpoint is small and random, its classes are those of transformers; the published weights
were not run.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import llava_checkpoint as ckpt
import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import LlavaOnevisionProcessor

from freqexp.errors import UserError
from freqexp.nouns.page import Pixels
from freqexp.nouns.vision import CompressedTokens, VisionTokens, keep_all
from freqexp.readers.base import Request
from freqexp.readers.families.llava_onevision import LlavaOnevisionReader
from freqexp.schemas.choices import Dtype, Family
from freqexp.schemas.model import ModelConfig
from freqexp.tokens.dct import TokenDct

Configure = Callable[..., ModelConfig]
BASE = ckpt.SIDE**2
# The tall page fills 3 x 2 crops but its margins; the wide one 1 x 3; the square one exceeds the
# limit of 4 crops, so its detail grid is made smaller.
SIZES = ((168, 90), (40, 168), (160, 168))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return ckpt.build_checkpoint(tmp_path_factory.mktemp("llava") / "reader")


@pytest.fixture(scope="module")
def configure(model_config: Configure) -> Configure:
    def make(path: Path, **changes: Any) -> ModelConfig:
        return replace(model_config(path), family=Family.llava_onevision, **changes)

    return make


@pytest.fixture(scope="module")
def reader(checkpoint: Path, configure: Configure) -> LlavaOnevisionReader:
    return LlavaOnevisionReader.load(configure(checkpoint))


def some_pages(*sizes: tuple[int, int], seed: int = 0) -> list[Pixels]:
    source = np.random.default_rng(seed)
    return [source.integers(0, 256, (height, width), dtype=np.uint8) for height, width in sizes]


def placeholders(
    height: int, width: int, crop: int = ckpt.CROP, most: int = ckpt.MOST, limit: int = ckpt.LIMIT
) -> int:
    """Placeholders of one page as the family's own processor counts them."""
    processor = SimpleNamespace(
        image_processor=SimpleNamespace(image_grid_pinpoints=ckpt.resolutions(crop, most)),
        num_image_tokens=(crop // ckpt.PATCH) ** 2,
        vision_aspect_ratio=f"anyres_max_{limit}",
    )
    own: Any = LlavaOnevisionProcessor
    processor._get_unpadded_features = lambda *sizes: own._get_unpadded_features(processor, *sizes)
    return int(own._get_number_of_features(processor, height, width, crop, crop))


def chat(reader: LlavaOnevisionReader, pages: Sequence[Pixels], question: str) -> Tensor:
    """Ids [1, length] as the family's processor makes them."""
    images = "".join("<image>" * placeholders(*page.shape) for page in pages)
    text = f"<|im_start|>user {images}\n{question}<|im_end|><|im_start|>assistant\n"
    return reader.tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]


def plain_generate(
    reader: LlavaOnevisionReader, pages: Sequence[Pixels], question: str
) -> list[int]:
    """What a user of transformers would type."""
    ids = chat(reader, pages, question)
    images = [np.stack([page] * 3, axis=-1) for page in pages]
    output = reader.model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        **reader.processor(images=images, return_tensors="pt"),
        max_new_tokens=reader.max_new_tokens,
        do_sample=False,
    )
    return [int(token) for token in output[0, ids.shape[1] :]]


@torch.no_grad()
def pruned_by_hand(
    reader: LlavaOnevisionReader, pages: Sequence[Pixels], question: str, keep: Tensor
) -> list[int]:
    """Greedy tokens from full forward passes, no cache and no generate, of the family's own packed
    features without the placeholders that `keep` [placeholders] has as false.
    """
    ids = chat(reader, pages, question)
    images = [np.stack([page] * 3, axis=-1) for page in pages]
    inputs = reader.processor(images=images, return_tensors="pt")
    packed = reader.model.model.get_image_features(
        inputs["pixel_values"], inputs["image_sizes"]
    ).pooler_output
    decoder = reader.model.model.language_model
    embeds = decoder.embed_tokens(ids).clone()
    is_image = ids[0] == reader.image_id
    embeds[0, is_image] = torch.cat(list(packed))
    stays = ~is_image
    stays[is_image] = keep
    embeds, at = embeds[:, stays], torch.arange(len(stays))[stays][None]
    tokens: list[int] = []
    for step in range(reader.max_new_tokens):
        # Without a mask transformers takes a gap in the positions for the start of another text.
        mask = torch.ones_like(at)
        hidden = decoder(
            inputs_embeds=embeds, position_ids=at, attention_mask=mask, use_cache=False
        ).last_hidden_state
        tokens.append(int(reader.model.lm_head(hidden[0, -1]).argmax()))
        embeds = torch.cat([embeds, decoder.embed_tokens(torch.tensor([[tokens[-1]]]))], dim=1)
        at = torch.cat([at, torch.tensor([[len(stays) + step]])], dim=1)
    return tokens


def decoded(reader: LlavaOnevisionReader, tokens: Sequence[int]) -> str:
    return str(reader.tokenizer.decode(tokens, skip_special_tokens=True))


def all_kept(reader: LlavaOnevisionReader, pages: Sequence[Pixels]) -> list[CompressedTokens]:
    return [keep_all(grid) for grid in reader.encode(pages)]


def cache_bytes(tokens: int) -> int:
    float32_bytes = 4
    return tokens * ckpt.LAYERS * 2 * ckpt.KV_HEADS * ckpt.HEAD_DIM * float32_bytes


@pytest.mark.parametrize("sizes", [SIZES[:1], SIZES[2:], SIZES], ids=["one", "limited", "three"])
def test_everything_kept_is_plain_generate(
    reader: LlavaOnevisionReader, sizes: tuple[tuple[int, int], ...]
) -> None:
    pages = some_pages(*sizes)
    tokens = plain_generate(reader, pages, "what is here?")
    answer = reader.answer("what is here?", all_kept(reader, pages))
    assert answer.raw_text == decoded(reader, tokens)
    assert answer.new_tokens == len(tokens) == reader.max_new_tokens
    assert len(set(tokens)) >= 5
    placed = sum(placeholders(*size) for size in sizes)
    assert answer.vision_tokens_in == answer.vision_tokens_out == placed
    length = chat(reader, pages, "what is here?").shape[1]
    assert answer.decoder_tokens == length
    assert answer.cache_tokens == (length,) * ckpt.LAYERS
    assert answer.kv_cache_bytes == cache_bytes(length)


def test_answers_depend_on_page_question_and_place(reader: LlavaOnevisionReader) -> None:
    first, second = some_pages(SIZES[0], seed=1), some_pages(SIZES[0], seed=2)
    texts = [
        reader.answer(question, all_kept(reader, pages)).text
        for pages in (first, second, first + second, second + first)
        for question in ("what?", "who is it?")
    ]
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize("size", SIZES)
def test_grids_are_those_of_the_page(reader: LlavaOnevisionReader, size: tuple[int, int]) -> None:
    base, detail = reader.encode(some_pages(size))
    assert base.grid == (ckpt.SIDE, ckpt.SIDE)
    rows, columns = detail.grid
    assert (rows > columns) == (size[0] > size[1])
    assert base.features.shape[0] + detail.features.shape[0] + rows == placeholders(*size)
    assert rows * columns <= ckpt.LIMIT * BASE * 1.1**2


def test_detail_grid_follows_the_page(reader: LlavaOnevisionReader) -> None:
    """A change in the page's top right corner reaches the tokens there and no other crop's."""
    plain = np.full((112, 112), 128, np.uint8)
    marked = plain.copy()
    marked[:40, 72:] = 0
    (_, before), (_, after) = reader.encode([plain]), reader.encode([marked])
    assert before.grid == after.grid == (8, 8)
    changed = (before.features != after.features).any(dim=1).view(8, 8)
    expected = torch.zeros(8, 8, dtype=torch.bool)
    expected[:4, 4:] = True
    assert torch.equal(changed, expected)


def test_page_at_the_published_crops(configure: Configure, tmp_path: Path) -> None:
    """384 px crops in up to 6 x 6, a detail grid of 9 crops at most, as the 7B model has them."""
    published = {"crop": 384, "most": 6, "limit": 9}
    reader = LlavaOnevisionReader.load(
        configure(ckpt.build_checkpoint(tmp_path / "reader", **published))
    )
    base, detail = reader.encode(some_pages((842, 595)))
    assert (base.grid, detail.grid) == ((27, 27), (77, 54))
    assert 27 * 27 + 77 * (54 + 1) == placeholders(842, 595, **published) == 4964


@pytest.mark.parametrize("sizes", [SIZES[:1], SIZES], ids=["one", "three"])
def test_half_of_the_tokens_decode_as_by_hand(
    reader: LlavaOnevisionReader, sizes: tuple[tuple[int, int], ...]
) -> None:
    pages = some_pages(*sizes)
    compressor = TokenDct(0.5, transform=False, quantize=False)
    vision = reader.encode(pages)
    compressed = [compressor.compress(grid) for grid in vision]
    keep: list[bool] = []
    newlines = 0
    for number, (grid, small) in enumerate(zip(vision, compressed, strict=True)):
        rows, columns = grid.grid
        mask = torch.zeros(rows * columns, dtype=torch.bool)
        mask[small.kept] = True
        for line in mask.view(rows, columns).tolist():
            keep += line
            if number % 2:
                keep.append(any(line))
                newlines += any(line)
    answer = reader.answer("what is here?", compressed)
    by_hand = pruned_by_hand(reader, pages, "what is here?", torch.tensor(keep))
    assert answer.raw_text == decoded(reader, by_hand)
    assert len(set(by_hand)) >= 5
    full = reader.answer("what is here?", [keep_all(grid) for grid in vision])
    text = full.decoder_tokens - full.vision_tokens_in
    features = sum(len(grid.features) for grid in vision)
    half = sum(len(small.kept) for small in compressed)
    assert abs(half - features / 2) <= len(vision) / 2
    assert answer.vision_tokens_in == full.vision_tokens_in
    assert answer.vision_tokens_out == half + newlines
    assert answer.decoder_tokens == text + half + newlines
    assert answer.cache_tokens == (answer.decoder_tokens,) * ckpt.LAYERS
    assert answer.kv_cache_bytes == cache_bytes(answer.decoder_tokens)


def test_newline_leaves_with_the_last_token_of_its_row(reader: LlavaOnevisionReader) -> None:
    base, detail = reader.encode(some_pages(SIZES[0]))
    rows, columns = detail.grid
    kept = torch.arange(columns, 3 * columns)  # rows 1 and 2
    small = CompressedTokens(detail.features[kept], kept, detail.grid)
    request = Request("what?", [keep_all(base), small])
    answer = reader.answer(request.question, request.vision)
    assert answer.vision_tokens_out == BASE + 2 * (columns + 1)
    assert answer.vision_tokens_in == BASE + rows * (columns + 1)
    assert reader.prompt_tokens(request) == answer.decoder_tokens


def test_batch_gives_the_answers_of_batch_one(reader: LlavaOnevisionReader) -> None:
    compressor = TokenDct(0.5)
    requests = []
    for number, sizes in enumerate((SIZES[:1], SIZES[1:], SIZES[1:2])):
        grids = reader.encode(some_pages(*sizes, seed=number))
        tokens = [keep_all(g) if number == 0 else compressor.compress(g) for g in grids]
        requests.append(Request("what is here?"[: 5 + 4 * number], tokens))
    together = reader.answer_batch(requests)
    for request, answer in zip(requests, together, strict=True):
        alone = reader.answer(request.question, request.vision)
        assert answer.raw_text == alone.raw_text
        assert answer.decoder_tokens == alone.decoder_tokens == reader.prompt_tokens(request)
        assert answer.cache_tokens == alone.cache_tokens
        assert answer.kv_cache_bytes == alone.kv_cache_bytes
        assert answer.vision_tokens_out == alone.vision_tokens_out
        assert (answer.batch_size, alone.batch_size) == (3, 1)
    assert len({answer.decoder_tokens for answer in together}) == 3
    assert len({answer.text for answer in together}) == 3


def test_model_is_left_as_it_was_after_an_exception(
    reader: LlavaOnevisionReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = all_kept(reader, some_pages(SIZES[0]))
    modules = list(reader.model.modules())
    before = [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in modules]

    def fail(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("in the middle")

    with monkeypatch.context() as patch:
        patch.setattr(reader.model.lm_head, "forward", fail)
        with pytest.raises(RuntimeError, match="in the middle"):
            reader.answer("what?", kept)
    assert [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in modules] == before


def test_page_that_leaves_no_tokens(reader: LlavaOnevisionReader) -> None:
    pages = [*some_pages(SIZES[0]), np.zeros((1680, 1), np.uint8)]
    with pytest.raises(UserError, match="page 2: got 1 x 1680 px, allowed: a page that leaves"):
        reader.encode(pages)


def test_no_pages(reader: LlavaOnevisionReader) -> None:
    with pytest.raises(UserError, match="sample: got no pages"):
        reader.encode([])


def test_grids_that_are_no_pairs(reader: LlavaOnevisionReader) -> None:
    base, detail = all_kept(reader, some_pages(SIZES[0]))
    for vision in ([detail], [detail, base], [base, detail, base]):
        with pytest.raises(UserError, match="for each page a base grid of 4 x 4"):
            reader.answer("what?", vision)


def test_sample_beyond_the_context_names_the_numbers(reader: LlavaOnevisionReader) -> None:
    big = keep_all(VisionTokens(torch.zeros(3000, 64), (100, 30)))
    base = keep_all(VisionTokens(torch.zeros(BASE, 64), reader.base_grid))
    with pytest.raises(UserError, match=r"needs 3\d\d\d prompt and 12 new tokens.* at most 2048"):
        reader.answer("what?", [base, big])


def copy_with(checkpoint: Path, folder: Path, file: str, old: str, new: str) -> Path:
    shutil.copytree(checkpoint, folder)
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new))
    return folder


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("config.json", '"llava_onevision"', '"llava_next"', "llava_next"),
        (
            "config.json",
            '"num_hidden_layers": 3',
            '"num_hidden_layers": 4',
            r"`num_hidden_layers` \(4\)",
        ),
        ("config.json", '"num_hidden_layers": 2', '"num_hidden_layers": 3', "missing keys: model"),
        ("preprocessor_config.json", '"height": 56', '"height": 28', r"crops \[28, 56\] differ"),
        ("preprocessor_config.json", "168", "112", "resolutions .* differ"),
        ("chat_template.json", "{", "[", "can't load"),
    ],
)
def test_wrong_checkpoints(
    checkpoint: Path,
    configure: Configure,
    tmp_path: Path,
    file: str,
    old: str,
    new: str,
    message: str,
) -> None:
    folder = copy_with(checkpoint, tmp_path / "broken", file, old, new)
    with pytest.raises(UserError, match=message):
        LlavaOnevisionReader.load(configure(folder))


def test_page_limits_are_refused(checkpoint: Path, configure: Configure) -> None:
    with pytest.raises(UserError, match=r"model\.max_pixels: got 10000, allowed: null"):
        LlavaOnevisionReader.load(configure(checkpoint, max_pixels=10000))


def test_checkpoint_of_another_family(random_checkpoint: Path, configure: Configure) -> None:
    with pytest.raises(UserError, match=r"model_type llava_onevision .* this one is glm4v"):
        LlavaOnevisionReader.load(configure(random_checkpoint))


def test_bfloat16_is_plain_generate_too(checkpoint: Path, configure: Configure) -> None:
    reader = LlavaOnevisionReader.load(configure(checkpoint, dtype=Dtype.bfloat16))
    pages = some_pages(*SIZES)
    tokens = plain_generate(reader, pages, "what?")
    assert reader.answer("what?", all_kept(reader, pages)).raw_text == decoded(reader, tokens)
    assert len(set(tokens)) >= 5
