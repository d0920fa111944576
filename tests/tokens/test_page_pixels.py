"""pixel_prune and blank_prune: what they ask of pixels, and pages whose answer is known."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from freqexp.answering.storage import keep_deepstack
from freqexp.errors import ConfigError, UserError
from freqexp.nouns.vision import VisionTokens
from freqexp.schemas.page_methods import PixelPruneConfig
from freqexp.tokens.base import TokenCompressor
from freqexp.tokens.blank_prune import BlankPrune
from freqexp.tokens.pixel_prune import PixelPrune

GRIDS = [(6, 6), (5, 9), (1, 7), (8, 1), (1, 1)]

Levels = npt.NDArray[np.uint8]


def pixels_of(levels: list[list[int]] | Levels) -> Tensor:
    """A page whose tokens are each of one gray level: [rows * columns, 2, 2, 3]."""
    flat = torch.tensor(np.asarray(levels, dtype=np.uint8)).flatten()
    return flat.view(-1, 1, 1, 1).repeat(1, 2, 2, 3)


def random_pixels(grid: tuple[int, int], levels: tuple[int, ...], seed: int) -> Tensor:
    """Of few levels, most often the first: tokens often equal their neighbours, or nearly do."""
    rng = np.random.default_rng(seed)
    share = [0.8] + [0.2 / (len(levels) - 1)] * (len(levels) - 1)
    chosen = rng.choice(levels, size=(grid[0] * grid[1], 1, 2, 3), p=share)
    return torch.from_numpy(chosen.astype(np.uint8))


def tokens_of(
    pixels: Tensor, grid: tuple[int, int], dtype: torch.dtype = torch.float32
) -> VisionTokens:
    features = torch.from_numpy(np.random.default_rng(0).normal(size=(grid[0] * grid[1], 4)))
    return VisionTokens(features.to(dtype), grid, signals={"pixels": pixels})


def test_a_checkerboard_stays_and_a_blank_page_leaves_its_first_token() -> None:
    board = np.indices((6, 7)).sum(0) % 2 * 255
    for threshold in (0, 1, 254):
        pruning = PixelPrune(threshold)
        assert pruning.choose(pixels_of(board), (6, 7)).tolist() == list(range(42))
        assert pruning.choose(pixels_of(np.full((6, 7), 9)), (6, 7)).tolist() == [0]
    assert PixelPrune(255).choose(pixels_of(board), (6, 7)).tolist() == [0]


@pytest.mark.parametrize("size", [(2, 3), (5, 4), (9, 11)])
@pytest.mark.parametrize("threshold", [0, 20])
def test_a_rectangle_costs_its_corners(size: tuple[int, int], threshold: int) -> None:
    """Its first token, the one right of its first row, and the one below its first column."""
    page = np.full((12, 14), 255)
    page[2 : 2 + size[0], 1 : 1 + size[1]] = 0
    kept = PixelPrune(threshold).choose(pixels_of(page), (12, 14)).tolist()
    assert kept == [0, 2 * 14 + 1, 2 * 14 + 1 + size[1], (2 + size[0]) * 14 + 1]


def test_one_pixel_of_one_colour_is_enough() -> None:
    pixels = pixels_of([[9, 9, 9], [9, 9, 9]])
    pixels[4, 1, 0, 2] += 3
    assert PixelPrune(0).choose(pixels, (2, 3)).tolist() == [0, 4, 5]
    assert PixelPrune(2).choose(pixels, (2, 3)).tolist() == [0, 4, 5]
    assert PixelPrune(3).choose(pixels, (2, 3)).tolist() == [0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("compressor", [PixelPrune(), PixelPrune(4), BlankPrune()])
def test_kept_tokens_are_the_encoders_own(compressor: TokenCompressor, dtype: torch.dtype) -> None:
    pixels = random_pixels((5, 9), (255, 0), 3)
    tokens = tokens_of(pixels, (5, 9), dtype)
    result = compressor.compress(tokens)
    assert 1 < len(result.kept) < 45
    assert torch.equal(result.features, tokens.features[result.kept])
    assert result.nominal_ratio == 45 / len(result.kept)


def test_before_the_encoder_its_tokens_are_stored_as_they_are() -> None:
    pixels = random_pixels((5, 9), (255, 0), 3)
    pruning = PixelPrune(before_encoder=True)
    places = pruning.choose(pixels, (5, 9))
    assert torch.equal(places, PixelPrune().choose(pixels, (5, 9)))
    features = torch.randn(len(places), 4)
    page = VisionTokens(features, (5, 9), (2 * features, -features), places=places)
    result = keep_deepstack(page, pruning.compress(page))
    assert torch.equal(result.features, features)
    assert torch.equal(result.kept, places)
    assert len(result.deepstack) == 2
    assert torch.equal(result.deepstack[0], 2 * features)
    assert torch.equal(result.deepstack[1], -features)
    with pytest.raises(ValueError, match="places: got None"):
        pruning.compress(tokens_of(pixels, (5, 9)))


def loop_blank(pixels: Tensor, grid: tuple[int, int], line_ends: bool) -> list[int]:
    """What stays, token by token."""
    colours = [set(map(tuple, token.flatten(0, 1).tolist())) for token in pixels]
    single = Counter(next(iter(found)) for found in colours if len(found) == 1)
    most = max(single.values(), default=0)
    background = min((colour for colour, n in single.items() if n == most), default=None)
    blank = [found == {background} for found in colours]
    kept = {place for place, is_blank in enumerate(blank) if not is_blank}
    for row in range(grid[0]) if line_ends else ():
        shown = [c for c in range(grid[1]) if not blank[row * grid[1] + c]]
        end = shown[-1] + 1 if shown else 0
        if end < grid[1]:
            kept.add(row * grid[1] + end)
    return sorted(kept or {0})


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("line_ends", [True, False])
def test_blank_tokens_go(grid: tuple[int, int], line_ends: bool) -> None:
    lost = 0
    for seed in range(12):
        for levels in ((255, 0), (0, 1), (3, 0, 10, 255)):
            pixels = random_pixels(grid, levels, seed)
            kept = BlankPrune(line_ends).compress(tokens_of(pixels, grid)).kept.tolist()
            assert kept == loop_blank(pixels, grid, line_ends)
            lost += grid[0] * grid[1] - len(kept)
    assert lost or grid == (1, 1) or (line_ends and grid[1] == 1)


@pytest.mark.parametrize("line_ends", [True, False])
def test_a_page_without_text_and_a_page_without_background(line_ends: bool) -> None:
    blank = tokens_of(pixels_of(np.full((3, 4), 200)), (3, 4))
    assert BlankPrune(line_ends).compress(blank).kept.tolist() == ([0, 4, 8] if line_ends else [0])
    full = pixels_of(np.full((3, 4), 200))
    full[:, 0, 0] = torch.arange(12, dtype=torch.uint8).view(-1, 1)
    assert BlankPrune(line_ends).compress(tokens_of(full, (3, 4))).kept.tolist() == list(range(12))


def test_the_background_is_a_colour_of_whole_tokens() -> None:
    """Black has more pixels and fewer whole tokens; of equally common colours the smaller goes."""
    pixels = pixels_of([[255, 255, 0, 0, 0, 0, 0]])
    pixels[3:, 0, 0] = 1
    kept = BlankPrune(line_ends=False).compress(tokens_of(pixels, (1, 7))).kept
    assert kept.tolist() == [2, 3, 4, 5, 6]
    even = pixels_of([[200, 100, 200, 100]])
    assert BlankPrune(False).compress(tokens_of(even, (1, 4))).kept.tolist() == [0, 2]
    even[:, :, :, 0] = 255 - even[:, :, :, 0]
    assert BlankPrune(False).compress(tokens_of(even, (1, 4))).kept.tolist() == [1, 3]


def test_bad_input_is_named() -> None:
    page = tokens_of(pixels_of([[1, 2], [3, 4]]), (2, 2))
    broken = VisionTokens(page.features * math.nan, (2, 2), signals=page.signals)
    for compressor in (PixelPrune(), BlankPrune()):
        with pytest.raises(UserError, match="NaN or infinity"):
            compressor.compress(broken)
    for pixels in (page.signals["pixels"][:3], page.signals["pixels"].int(), torch.zeros(4, 2)):
        for method in (PixelPrune(), BlankPrune()):
            with pytest.raises(ValueError, match=r"pixels: got .*allowed: uint8 \[2 \* 2, height"):
                method.compress(tokens_of(pixels, (2, 2)))
    with pytest.raises(ValueError, match="signals: got no signals, allowed: those with pixels"):
        BlankPrune().compress(VisionTokens(page.features, (2, 2)))
    with pytest.raises(ConfigError, match="threshold: got 256"):
        PixelPrune(256)


@pytest.mark.parametrize("threshold", [-1, 256])
def test_the_schema_knows_the_range(threshold: int) -> None:
    found = PixelPruneConfig(threshold=threshold).check("compressor")
    assert found == [f"compressor.threshold: got {threshold}, allowed: gray levels from 0 to 255"]
    assert PixelPruneConfig(threshold=255).check("compressor") == []
