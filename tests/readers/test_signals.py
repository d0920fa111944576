"""What readers give beside features, against loops in float64 that know the families' formulas only
from their papers: SigLIP, the ViT of Qwen2-VL and its windows in Qwen2.5-VL.
"""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import glm4v_remote_checkpoint as remote
import llava_checkpoint as llava
import numpy as np
import pytest
import torch
from PIL import Image
from reader_checkpoints import WORDS, configure, noise_pages
from torch import Tensor

from freqexp.errors import UserError
from freqexp.nouns.page import Pixels
from freqexp.nouns.vision import Signal, VisionTokens
from freqexp.readers.base import Reader
from freqexp.readers.families import signals as readers_signals
from freqexp.readers.families.glm4v import Glm4vReader
from freqexp.readers.families.glm4v_remote import Glm4vRemoteReader
from freqexp.readers.families.hf import HfReader
from freqexp.readers.families.llava_onevision import LlavaOnevisionReader
from freqexp.readers.families.qwen2_vl import Qwen2VlReader
from freqexp.readers.families.qwen3_vl import Qwen3VlReader
from freqexp.readers.load import load_reader
from freqexp.readers.recogniser.ppocr import PpocrReader
from freqexp.readers.served.api import ApiReader
from freqexp.schemas.choices import DROPS_BEFORE_ENCODER, SIGNALS, Attention, Dtype, Family
from freqexp.schemas.model import ModelConfig

if TYPE_CHECKING:
    from conftest import Loaded

Configure = Callable[..., ModelConfig]
OF_PAGES: tuple[Signal, ...] = ("pixels", "attention", "keys")
SIZES = ((5, 3), (2, 4))
THETA = 10_000.0
WINDOWED = pytest.mark.parametrize("loaded", ["qwen2_5_vl"], indirect=True)
LLAVA_SIZES = ((168, 90), (40, 168), (160, 168))
READERS: dict[Family, type[Reader]] = {
    Family.glm4v: Glm4vReader,
    Family.qwen2_vl: Qwen2VlReader,
    Family.qwen2_5_vl: Qwen2VlReader,
    Family.qwen3_vl: Qwen3VlReader,
    Family.llava_onevision: LlavaOnevisionReader,
    Family.glm4v_remote: Glm4vRemoteReader,
    Family.ppocr: PpocrReader,
    Family.api: ApiReader,
}


@pytest.fixture(scope="module")
def onevision(
    tmp_path_factory: pytest.TempPathFactory, model_config: Configure
) -> LlavaOnevisionReader:
    torch.set_num_threads(1)
    folder = llava.build_checkpoint(tmp_path_factory.mktemp("llava") / "reader")
    return LlavaOnevisionReader.load(replace(model_config(folder), family=Family.llava_onevision))


@pytest.fixture(scope="module")
def glm4v_9b(
    tmp_path_factory: pytest.TempPathFactory, model_config: Configure
) -> Iterator[Glm4vRemoteReader]:
    torch.set_num_threads(1)
    with remote.code_cache_in(tmp_path_factory.mktemp("modules")):
        folder = remote.build_checkpoint(tmp_path_factory.mktemp("remote") / "reader")
        settings: dict[str, Any] = {"family": Family.glm4v_remote, "trust_remote_code": True}
        yield Glm4vRemoteReader.load(replace(model_config(folder), **settings))


def loops_of(
    states: Tensor,
    weights: tuple[Tensor, Tensor],
    biases: tuple[Tensor | None, Tensor | None],
    heads: int,
    places: Sequence[tuple[int, int]] | None,
) -> tuple[list[float], list[list[float]]]:
    """Attention that each patch receives, and its key without rotation, mean over heads.

    states [patches, channels], after the norm. weights: of queries and of keys. places: (row,
    column) of each patch for the rotary embedding; None: none.
    """
    count = len(states)
    projected = []
    for weight, bias in zip(weights, biases, strict=True):
        flat = states.double().numpy() @ weight.detach().double().numpy().T
        flat = flat if bias is None else flat + bias.detach().double().numpy()
        projected.append(flat.reshape(count, heads, -1).tolist())
    queries, keys = projected
    size = len(keys[0][0])
    got = [0.0] * count
    for head in range(heads):
        q = [turned(queries[n][head], None if places is None else places[n]) for n in range(count)]
        k = [turned(keys[n][head], None if places is None else places[n]) for n in range(count)]
        for query in q:
            scores = [sum(a * b for a, b in zip(query, key, strict=True)) for key in k]
            powers = [math.exp(score / math.sqrt(size)) for score in scores]
            for n, power in enumerate(powers):
                got[n] += power / sum(powers) / (heads * count)
    plain = [
        [sum(keys[n][h][c] for h in range(heads)) / heads for c in range(size)]
        for n in range(count)
    ]
    return got, plain


def turned(vector: list[float], place: tuple[int, int] | None) -> list[float]:
    """Channels c and c + half as the plane of one frequency: the first half of the frequencies
    turn with the row, the second with the column.
    """
    if place is None:
        return vector
    half = len(vector) // 2
    new = list(vector)
    for plane in range(half):
        axis, number = divmod(plane, half // 2)
        angle = place[axis] * THETA ** (-2 * number / half)
        a, b = vector[plane], vector[plane + half]
        new[plane] = a * math.cos(angle) - b * math.sin(angle)
        new[plane + half] = b * math.cos(angle) + a * math.sin(angle)
    return new


def token_order(kind: str, rows: int, columns: int) -> list[tuple[int, int]]:
    """(row, column) of tokens as the blocks see them: raster, or 2 x 2 windows of Qwen2.5-VL."""
    raster = [(row, column) for row in range(rows) for column in range(columns)]
    if kind != "qwen2_5_vl":
        return raster
    return sorted(raster, key=lambda place: (place[0] // 2, place[1] // 2, *place))


def block_of(loaded: Loaded) -> int:
    """Of depth 3 the last, or the one with attention over the page."""
    return 1 if loaded.kind.family is Family.qwen2_5_vl else 2


def reference(loaded: Loaded, page: Pixels, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Attention [tokens] and keys [tokens, channels] in raster order, by loops."""
    tower = loaded.plain.model.model.visual
    block = tower.blocks[block_of(loaded)]
    noted = []
    hook = block.register_forward_pre_hook(lambda module, args: noted.append(args[0]))
    inputs = loaded.plain.processor(images=[np.stack([page] * 3, -1)], return_tensors="pt")
    with torch.no_grad():
        tower(inputs["pixel_values"], grid_thw=inputs["image_grid_thw"])
        states = block.norm1(noted[0])
    hook.remove()
    order = token_order(loaded.kind.family.value, *grid)
    places = [(2 * r + a, 2 * c + b) for r, c in order for a in (0, 1) for b in (0, 1)]
    attention, width = block.attn, states.shape[1]
    weight, bias = attention.qkv.weight, attention.qkv.bias
    biases = (None, None) if bias is None else (bias[:width], bias[width : 2 * width])
    weights = (weight[:width], weight[width : 2 * width])
    got, keys = loops_of(states, weights, biases, attention.num_heads, places)
    received = {place: sum(got[4 * n : 4 * n + 4]) for n, place in enumerate(order)}
    mean = {place: np.mean(keys[4 * n : 4 * n + 4], axis=0) for n, place in enumerate(order)}
    return (
        torch.tensor([received[place] for place in sorted(order)], dtype=torch.float64),
        torch.from_numpy(np.stack([mean[place] for place in sorted(order)])),
    )


def close(one: Tensor, other: Tensor, atol: float = 2e-6) -> None:
    torch.testing.assert_close(one.double(), other.double(), rtol=1e-4, atol=atol)


def test_readers_and_the_table_of_choices_agree() -> None:
    assert set(READERS) == set(Family) - {Family.outside}
    assert SIGNALS[Family.outside] == ()  # its class says what it gives
    for family, reader in READERS.items():
        assert reader.signals == SIGNALS[family]
        assert reader.drops_before_encoder is (family in DROPS_BEFORE_ENCODER)


def test_attention_and_keys_are_those_of_loops(loaded: Loaded) -> None:
    pages = noise_pages(loaded.kind, SIZES)
    encoded = loaded.reader.encode(pages, ("attention", "keys"))
    for tokens, page, grid in zip(encoded, pages, SIZES, strict=True):
        attention, keys = reference(loaded, page, grid)
        found = tokens.signals
        assert found["attention"].dtype == found["keys"].dtype == torch.float32
        assert float(found["attention"].std()) > 1e-3
        close(found["attention"], attention)
        close(found["keys"], keys, atol=2e-5)
        assert abs(float(found["attention"].sum()) - 1) < 1e-6


def test_attention_is_the_map_of_the_eager_function(
    loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = load_reader(replace(configure(loaded.kind, loaded.folder), attention=Attention.eager))
    assert isinstance(reader, HfReader)
    attention = reader.model.model.visual.blocks[block_of(loaded)].attn
    modeling = sys.modules[type(attention).__module__]
    own, maps = modeling.eager_attention_forward, []

    def noting(module: Any, *args: Any, **kwargs: Any) -> Any:
        output = own(module, *args, **kwargs)
        if module is attention:
            maps.append(output[1])
        return output

    monkeypatch.setattr(modeling, "eager_attention_forward", noting)
    (tokens,) = reader.encode(noise_pages(loaded.kind, SIZES[:1]), ("attention",))
    (weights,) = maps
    shares = weights[0].mean(dim=(0, 1)).view(-1, 4).sum(1)
    order = token_order(loaded.kind.family.value, *SIZES[0])
    raster = torch.tensor(sorted(range(len(order)), key=lambda n: order[n]))
    close(tokens.signals["attention"], shares[raster], atol=1e-7)


@WINDOWED
@pytest.mark.parametrize("place", [(0, 0), (1, 2), (2, 1), (4, 2)])
def test_a_planted_token_of_qwen2_5_is_found_at_its_place(
    loaded: Loaded, place: tuple[int, int]
) -> None:
    """On a page of one colour all keys are equal before the first block over the whole page. One
    other token changes its own and those of its window.
    """
    rows, columns = SIZES[0]
    page = np.full((28 * rows, 28 * columns), 255, np.uint8)
    row, column = place
    square = np.random.default_rng(0).integers(0, 256, (28, 28), dtype=np.uint8)
    page[28 * row : 28 * row + 28, 28 * column : 28 * column + 28] = square
    (tokens,) = loaded.reader.encode([page], ("keys",))
    blank = loaded.reader.encode([np.full_like(page, 255)], ("keys",))[0].signals["keys"]
    changed = (tokens.signals["keys"] - blank).norm(dim=-1).view(rows, columns)
    assert int(changed.argmax()) == row * columns + column
    window = {
        (r, c)
        for r in range(rows)
        for c in range(columns)
        if (r // 2, c // 2) == (row // 2, column // 2)
    }
    assert {(int(r), int(c)) for r, c in (changed > 1e-4).nonzero()} == window


def squares(page: Pixels, side: int) -> Pixels:
    """[tokens, side, side, 3] of a page, by slicing."""
    color = page if page.ndim == 3 else np.stack([page] * 3, axis=-1)
    return np.stack(
        [
            color[top : top + side, left : left + side]
            for top in range(0, color.shape[0], side)
            for left in range(0, color.shape[1], side)
        ]
    )


def resized(page: Pixels, height: int, width: int) -> Pixels:
    color = page if page.ndim == 3 else np.stack([page] * 3, axis=-1)
    return np.asarray(Image.fromarray(color).resize((width, height), Image.Resampling.BICUBIC))


def color_page(height: int, width: int) -> Pixels:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_pixels_are_the_page_where_it_is_not_resized(loaded: Loaded) -> None:
    side = 2 * loaded.kind.patch
    pages = [color_page(4 * side, 3 * side)[..., 0], color_page(2 * side, 5 * side)]
    for page, tokens in zip(pages, loaded.reader.encode(pages, ("pixels",)), strict=True):
        assert tokens.signals["pixels"].dtype == torch.uint8
        assert np.array_equal(tokens.signals["pixels"], squares(page, side))


def test_pixels_are_those_of_the_resized_page(loaded: Loaded) -> None:
    side = 2 * loaded.kind.patch
    for page in (color_page(4 * side + 9, 3 * side - 5), color_page(50, 41)[..., 2]):
        (tokens,) = loaded.reader.encode([page], ("pixels",))
        rows, columns = tokens.grid
        expected = squares(resized(page, rows * side, columns * side), side)
        assert np.array_equal(tokens.signals["pixels"], expected)


def test_pixels_that_are_not_whole_are_refused() -> None:
    processor = SimpleNamespace(
        do_normalize=True, image_mean=[0.5] * 3, image_std=[0.25] * 3,
        do_rescale=True, rescale_factor=1 / 255,
    )  # fmt: skip
    page = color_page(6, 4).transpose(2, 0, 1)
    normalised = torch.from_numpy((page / 255 - 0.5) / 0.25)
    found = readers_signals.whole_pixels(normalised.float(), processor)
    assert np.array_equal(found, page)
    plain = SimpleNamespace(do_normalize=False, do_rescale=False)
    assert np.array_equal(readers_signals.whole_pixels(torch.from_numpy(page), plain), page)
    for wrong in (normalised + 0.01, normalised * 2, normalised - 4):
        with pytest.raises(UserError, match="no whole numbers"):
            readers_signals.whole_pixels(wrong, processor)


def same(one: Sequence[VisionTokens], other: Sequence[VisionTokens]) -> bool:
    pairs = list(zip(one, other, strict=True))
    return all(
        a.grid == b.grid
        and torch.equal(a.features, b.features)
        and len(a.deepstack) == len(b.deepstack)
        and all(torch.equal(x, y) for x, y in zip(a.deepstack, b.deepstack, strict=True))
        for a, b in pairs
    )


def check_only_what_is_asked(reader: Reader, pages: Sequence[Pixels]) -> None:
    """Each set of signals comes alone, is the same as among others, and changes no feature."""
    plain = reader.encode(pages)
    assert all(not page.signals for page in plain)
    able = [name for name in OF_PAGES if name in reader.signals]
    everything = reader.encode(pages, able)
    for count in range(1, len(able) + 1):
        for names in itertools.combinations(able, count):
            found = reader.encode(pages, names)
            assert same(found, plain)
            for page, whole in zip(found, everything, strict=True):
                assert set(page.signals) == set(names)
                assert all(torch.equal(page.signals[n], whole.signals[n]) for n in names)
                assert all(len(page.signals[n]) == len(page.features) for n in names)


def test_signals_change_no_feature(loaded: Loaded) -> None:
    check_only_what_is_asked(loaded.reader, noise_pages(loaded.kind, SIZES))


def test_signals_change_no_feature_of_the_bundled_reader(reader: Glm4vReader) -> None:
    page = color_page(84, 112)
    check_only_what_is_asked(reader, [page])
    (tokens,) = reader.encode([page], OF_PAGES)
    assert np.array_equal(tokens.signals["pixels"], squares(page, 28))
    assert abs(float(tokens.signals["attention"].sum()) - 1) < 1e-6


def test_bfloat16(loaded: Loaded) -> None:
    """Rounding moves attention a little; its sum stays."""
    reader = load_reader(replace(configure(loaded.kind, loaded.folder), dtype=Dtype.bfloat16))
    pages = noise_pages(loaded.kind, SIZES[:1])
    (tokens,), (exact,) = reader.encode(pages, OF_PAGES), loaded.reader.encode(pages, OF_PAGES)
    found = tokens.signals
    assert found["attention"].dtype == found["keys"].dtype == torch.float32
    assert torch.equal(found["pixels"], exact.signals["pixels"])
    assert abs(float(found["attention"].sum()) - 1) < 1e-6
    close(found["attention"], exact.signals["attention"], atol=0.02)
    assert reader.question_embeddings("why?").dtype == torch.bfloat16


def test_a_map_in_parts_is_the_map(monkeypatch: pytest.MonkeyPatch) -> None:
    queries, keys = torch.randn(2, 37, 3, 8, generator=torch.manual_seed(0)).unbind()
    whole = readers_signals.received(queries, keys, 0.5)
    monkeypatch.setattr(readers_signals, "MAP_ELEMENTS", 5 * 3 * 37)
    close(readers_signals.received(queries, keys, 0.5), whole, atol=1e-8)
    monkeypatch.setattr(readers_signals, "MAP_ELEMENTS", 1)
    close(readers_signals.received(queries, keys, 0.5), whole, atol=1e-8)


def test_nothing_is_left_on_the_tower(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    def hooks() -> list[int]:
        return [len(m._forward_pre_hooks) for m in loaded.reader.model.modules()]

    pages = noise_pages(loaded.kind, SIZES[:1])
    before = hooks()
    loaded.reader.encode(pages, OF_PAGES)
    assert hooks() == before

    def fail(*args: object, **kwargs: object) -> None:
        raise RuntimeError("in the middle")

    monkeypatch.setattr(loaded.reader.model.model.visual.merger, "forward", fail)
    with pytest.raises(RuntimeError, match="in the middle"):
        loaded.reader.encode(pages, OF_PAGES)
    assert hooks() == before


@WINDOWED
def test_windows_alone_give_no_attention(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loaded.reader.model.model.visual, "fullatt_block_indexes", [])
    pages = noise_pages(loaded.kind, SIZES[:1])
    with pytest.raises(UserError, match=r"^page 1: model\.path: no block .* whole page"):
        loaded.reader.encode(pages, ("attention",))
    assert loaded.reader.encode(pages, ("pixels",))


def test_question_embeddings_are_those_of_its_words_alone(loaded: Loaded) -> None:
    table = loaded.plain.model.get_input_embeddings().weight
    found = loaded.reader.question_embeddings("Why, 2?")
    assert torch.equal(found, table[[WORDS.index(character) for character in "Why, 2?"]])
    assert loaded.reader.question_embeddings("").shape == (0, table.shape[1])


def test_question_embeddings_of_the_others(
    onevision: LlavaOnevisionReader, glm4v_9b: Glm4vRemoteReader
) -> None:
    first = onevision.model.get_input_embeddings().weight
    words = [*llava.SPECIALS, *llava.SINGLES]
    assert torch.equal(onevision.question_embeddings("a b"), first[[words.index(c) for c in "a b"]])
    second = glm4v_9b.model.get_input_embeddings().weight
    numbers = [remote.CHARACTERS.index(c) for c in "a b"]
    assert torch.equal(glm4v_9b.question_embeddings("a b"), second[numbers])


def test_glm4v_9b_gives_pixels(
    glm4v_9b: Glm4vRemoteReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, other = color_page(remote.IMAGE, remote.IMAGE), color_page(90, 130)
    check_only_what_is_asked(glm4v_9b, [page])
    (tokens,) = glm4v_9b.encode([page], ("pixels",))
    assert np.array_equal(tokens.signals["pixels"], squares(page, 28))
    (tokens,) = glm4v_9b.encode([other], ("pixels",))
    expected = squares(resized(other, remote.IMAGE, remote.IMAGE), 28)
    assert np.array_equal(tokens.signals["pixels"], expected)
    images = torch.zeros(1, 3, remote.IMAGE, remote.IMAGE)
    monkeypatch.setattr(glm4v_9b, "_chat", lambda *args: {"images": images})
    with pytest.raises(UserError, match="no whole numbers"):
        glm4v_9b.encode([page], ("pixels",))


def put_together(values: Tensor, page: tuple[int, int]) -> Tensor:
    """Detail grid [rows, columns, channels], float64, of values [crops, patches, channels] of a
    page (height, width): the best resolution's crops side by side, without the page's margins,
    and bilinearly smaller beyond the limit; by loops.
    """
    height, width = page
    sizes = llava.resolutions(llava.CROP, llava.MOST)

    def wasted(size: list[int]) -> tuple[int, int]:
        scale = min(size[0] / height, size[1] / width)
        used = min(int(height * scale) * int(width * scale), height * width)
        return -used, size[0] * size[1] - used

    best = min(sizes, key=wasted)
    rows, columns = best[0] // llava.PATCH, best[1] // llava.PATCH
    whole = np.zeros((rows, columns, values.shape[2]))
    for row, column in itertools.product(range(rows), range(columns)):
        crop = row // llava.SIDE * (columns // llava.SIDE) + column // llava.SIDE
        patch = row % llava.SIDE * llava.SIDE + column % llava.SIDE
        whole[row, column] = values[1 + crop, patch].double().numpy()
    if width / height > columns / rows:
        margin = (rows - int(height * columns / width)) // 2
        whole = whole[margin : rows - margin]
    else:
        margin = (columns - int(width * rows / height)) // 2
        whole = whole[:, margin : columns - margin]
    ratio = math.sqrt(whole.shape[0] * whole.shape[1] / (llava.LIMIT * llava.SIDE**2))
    if ratio > 1.1:
        whole = smaller(whole, int(whole.shape[0] // ratio), int(whole.shape[1] // ratio))
    return torch.from_numpy(whole)


def smaller(grid: np.ndarray[Any, Any], rows: int, columns: int) -> np.ndarray[Any, Any]:
    """Bilinear samples at the centres of a coarser grid's cells."""

    def taps(number: int, count: int, size: int) -> list[tuple[int, float]]:
        at = max((number + 0.5) * size / count - 0.5, 0.0)
        low = int(at)
        return [(low, 1 - (at - low)), (min(low + 1, size - 1), at - low)]

    new = np.zeros((rows, columns, grid.shape[2]))
    for row, column in itertools.product(range(rows), range(columns)):
        for r, weight in taps(row, rows, grid.shape[0]):
            for c, other in taps(column, columns, grid.shape[1]):
                new[row, column] += weight * other * grid[r, c]
    return new


def test_llava_attention_and_keys_are_those_of_loops(onevision: LlavaOnevisionReader) -> None:
    source = np.random.default_rng(0)
    for height, width in LLAVA_SIZES:
        page = source.integers(0, 256, (height, width), dtype=np.uint8)
        base, detail = onevision.encode([page], ("attention", "keys"))
        inputs = onevision.processor(images=[np.stack([page] * 3, -1)], return_tensors="pt")
        tower, noted = onevision.model.model.vision_tower, []
        layer = tower.encoder.layers[-1]
        hook = layer.register_forward_pre_hook(lambda module, args, to=noted: to.append(args[0]))
        with torch.no_grad():
            tower(inputs["pixel_values"][0])
            states = layer.layer_norm1(noted[0])
        hook.remove()
        own = layer.self_attn
        weights, biases = (own.q_proj.weight, own.k_proj.weight), (own.q_proj.bias, own.k_proj.bias)
        crops = [loops_of(crop, weights, biases, own.num_heads, None) for crop in states]
        attention = torch.tensor([got for got, _ in crops], dtype=torch.float64)
        keys = torch.tensor([plain for _, plain in crops], dtype=torch.float64)
        close(base.signals["attention"], attention[0])
        close(base.signals["keys"], keys[0], atol=2e-5)
        shares = put_together(attention[..., None], (height, width))
        assert detail.grid == tuple(shares.shape[:2])
        close(detail.signals["attention"], shares.flatten() / shares.sum())
        close(detail.signals["keys"], put_together(keys, (height, width)).flatten(0, 1), atol=2e-5)
        for grid in (base, detail):
            assert abs(float(grid.signals["attention"].sum()) - 1) < 1e-6


def test_llava_pixels(onevision: LlavaOnevisionReader) -> None:
    page = color_page(2 * llava.CROP, 2 * llava.CROP)
    base, detail = onevision.encode([page], ("pixels",))
    assert np.array_equal(detail.signals["pixels"], squares(page, llava.PATCH))
    small = resized(page, llava.CROP, llava.CROP)
    assert np.array_equal(base.signals["pixels"], squares(small, llava.PATCH))


def test_llava_pixels_where_the_grid_is_made_smaller(onevision: LlavaOnevisionReader) -> None:
    page = color_page(3 * llava.CROP, 3 * llava.CROP)
    _, detail = onevision.encode([page], ("pixels",))
    assert detail.grid == (8, 8)
    cells = squares(page, llava.PATCH).reshape(12, 12, -1).astype(float)
    expected = smaller(cells, 8, 8).reshape(detail.signals["pixels"].shape)
    assert np.abs(detail.signals["pixels"].numpy() - expected).max() <= 0.5 + 1e-3


def test_llava_signals_change_no_feature(onevision: LlavaOnevisionReader) -> None:
    source = np.random.default_rng(0)
    pages = [source.integers(0, 256, size, dtype=np.uint8) for size in LLAVA_SIZES[:2]]
    check_only_what_is_asked(onevision, pages)


def test_llava_takes_the_last_layer_that_feeds_the_features(
    onevision: LlavaOnevisionReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    from freqexp.readers.families.crops import tap

    layers = onevision.model.model.vision_tower.encoder.layers
    for chosen, layer in [(-1, 1), (-2, 0), (2, 1), (1, 0), ([1, -2], 0), ([0, 2], 1)]:
        monkeypatch.setattr(onevision.model.model.config, "vision_feature_layer", chosen)
        assert tap(onevision.model.model)._attention is layers[layer].self_attn
