"""Tokens dropped before the encoder: what remains is what a tower over the whole page makes whose
attention does not see them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from reader_checkpoints import configure, noise_pages
from torch import Tensor

from freqexp.nouns.page import Pixels
from freqexp.nouns.vision import VisionTokens, keep_all
from freqexp.readers.families.glm4v import Glm4vReader
from freqexp.readers.families.hf import HfReader
from freqexp.readers.load import load_reader
from freqexp.schemas.choices import Attention, Dtype, Family

if TYPE_CHECKING:
    from conftest import Loaded

SIZES = ((5, 3), (3, 6))
PATCHES = 4
HIDDEN = -1e30

KEPT = {
    "half": [0, 3, 4, 7, 8, 9, 13, 14],
    "one": [7],
    # Of a 5 x 3 page the windows of Qwen2.5-VL at the top left and at the bottom are empty.
    "whole windows gone": [2, 5, 6, 8, 10],
    "all but one": [n for n in range(15) if n != 4],
}


def chosen(kept: Sequence[int]) -> Callable[[Tensor, tuple[int, int]], Tensor]:
    return lambda pixels, grid: torch.tensor(kept)


def rows_of(tokens: VisionTokens) -> list[Tensor]:
    return [tokens.features, *tokens.deepstack]


def window_order(family: Family, grid: tuple[int, int]) -> list[int]:
    """Raster places of tokens in the order in which the blocks see them."""
    rows, columns = grid
    places = list(range(rows * columns))
    if family is not Family.qwen2_5_vl:
        return places
    return sorted(places, key=lambda n: (n // columns // 2, n % columns // 2, n))


def masked(
    reader: HfReader, family: Family, page: Pixels, grid: tuple[int, int], kept: Sequence[int]
) -> VisionTokens:
    """The whole tower's tokens with every dropped patch hidden from all queries.

    The eager function is called once a sequence (in windows: many a block), in the blocks' order.
    """
    order = window_order(family, grid)
    dropped = torch.tensor([n not in kept for n in order]).repeat_interleave(PATCHES)
    modeling = sys.modules[type(reader.model.model.visual.blocks[0].attn).__module__]
    own, start = modeling.eager_attention_forward, 0

    def hiding(module: Any, query: Tensor, key: Tensor, value: Tensor, **settings: Any) -> Any:
        nonlocal start
        part = dropped[start : start + key.shape[2]]
        start = (start + key.shape[2]) % len(dropped)
        settings["attention_mask"] = torch.zeros(len(part)).masked_fill(part, HIDDEN)
        return own(module, query, key, value, **settings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(modeling, "eager_attention_forward", hiding)
        (tokens,) = reader.encode([page])
    assert start == 0
    return tokens


def eager(loaded: Loaded) -> HfReader:
    config = replace(configure(loaded.kind, loaded.folder), attention=Attention.eager)
    reader = load_reader(config)
    assert isinstance(reader, HfReader)
    return reader


@pytest.mark.parametrize("kept", KEPT.values(), ids=KEPT)
def test_dropped_patches_are_as_if_masked(loaded: Loaded, kept: list[int]) -> None:
    reader, family = eager(loaded), loaded.kind.family
    (page,) = noise_pages(loaded.kind, SIZES[:1])
    (tokens,) = reader.encode([page], chooser=chosen(kept))
    expected = masked(reader, family, page, SIZES[0], kept)
    (whole,) = reader.encode([page])
    assert tokens.grid == SIZES[0]
    assert tokens.places is not None
    assert tokens.places.tolist() == kept
    assert len(tokens.deepstack) == len(whole.deepstack)
    for part, hidden in zip(rows_of(tokens), rows_of(expected), strict=True):
        assert part.shape == (len(kept), hidden.shape[1])
        torch.testing.assert_close(part, hidden[kept], rtol=1e-5, atol=2e-6)
    assert not torch.allclose(tokens.features, whole.features[kept], rtol=1e-3, atol=1e-3)


def test_of_the_bundled_reader(reader: Glm4vReader, monkeypatch: pytest.MonkeyPatch) -> None:
    page = np.random.default_rng(0).integers(0, 256, (112, 84), dtype=np.uint8)
    monkeypatch.setattr(reader.model.model.visual.config, "_attn_implementation", "eager")
    kept = [0, 1, 5, 6, 10]
    (tokens,) = reader.encode([page], chooser=chosen(kept))
    expected = masked(reader, Family.glm4v, page, (4, 3), kept)
    torch.testing.assert_close(tokens.features, expected.features[kept], rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("dtype", [Dtype.float32, Dtype.bfloat16], ids=lambda d: d.name)
def test_with_all_kept_the_features_are_the_whole_towers_bit_by_bit(
    loaded: Loaded, dtype: Dtype
) -> None:
    reader = load_reader(replace(configure(loaded.kind, loaded.folder), dtype=dtype))
    pages = noise_pages(loaded.kind, SIZES)
    everything = reader.encode(pages, chooser=lambda pixels, grid: torch.arange(len(pixels)))
    for part, whole in zip(everything, reader.encode(pages), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(rows_of(part), rows_of(whole), strict=True))


def test_each_page_is_asked_for_by_its_pixels_and_grid(loaded: Loaded) -> None:
    side, asked = 2 * loaded.kind.patch, []
    pages = noise_pages(loaded.kind, SIZES)

    def choose(pixels: Tensor, grid: tuple[int, int]) -> Tensor:
        asked.append((tuple(pixels.shape), pixels.dtype, grid))
        return torch.tensor([1, grid[1]])

    encoded = loaded.reader.encode(pages, ("pixels", "keys"), choose)
    assert asked == [((r * c, side, side, 3), torch.uint8, (r, c)) for r, c in SIZES]
    whole = loaded.reader.encode(pages, ("pixels",))
    for number, tokens in enumerate(encoded):
        places = [1, SIZES[number][1]]
        assert tokens.grid == SIZES[number]
        assert keep_all(tokens).kept.tolist() == places
        assert set(tokens.signals) == {"pixels"}
        assert torch.equal(tokens.signals["pixels"], whole[number].signals["pixels"][places])
        alone = loaded.reader.encode([pages[number]], chooser=choose)[0]
        assert torch.equal(alone.features, tokens.features)


def test_the_tower_runs_over_the_kept_patches_alone(loaded: Loaded) -> None:
    tower, seen = loaded.reader.model.model.visual, []
    modules = [tower.patch_embed, *tower.blocks]
    hooks = [
        module.register_forward_hook(lambda m, args, out: seen.append((len(args[0]), len(out))))
        for module in modules
    ]
    try:
        loaded.reader.encode(noise_pages(loaded.kind, SIZES[:1]), chooser=chosen([2, 3, 11]))
    finally:
        for hook in hooks:
            hook.remove()
    assert seen == [(3 * PATCHES, 3 * PATCHES)] * len(modules)


def test_an_answer_sees_the_kept_tokens_alone(loaded: Loaded) -> None:
    pages = noise_pages(loaded.kind, SIZES)
    tokens = loaded.reader.encode(pages, chooser=chosen([0, 5, 6]))
    whole = loaded.reader.encode(pages)
    part = loaded.reader.answer("Why?", [keep_all(page) for page in tokens])
    full = loaded.reader.answer("Why?", [keep_all(page) for page in whole])
    assert (full.vision_tokens_out, part.vision_tokens_out) == (33, 6)
    assert full.decoder_tokens - part.decoder_tokens == 33 - 6
    assert part.text != full.text
