"""Methods that go by a page's pixels or its grid, against slow references and hand-made pages."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.fft
import torch
from torch import Tensor

from freqexp.errors import ConfigError
from freqexp.nouns.vision import VisionTokens
from freqexp.tokens.blank_prune import BlankPrune
from freqexp.tokens.block_mean import BlockMean
from freqexp.tokens.dct_resample import DctResample
from freqexp.tokens.norm_prune import NormPrune
from freqexp.tokens.pixel_prune import PixelPrune, rebuilt
from freqexp.tokens.smaller_grid import smaller_grid

GRIDS = ((1, 1), (1, 6), (6, 1), (4, 7), (9, 5))
THRESHOLDS = (0, 1, 40, 255)


def few_colours(grid: tuple[int, int], seed: int, colours: int = 2) -> Tensor:
    """Tokens of 2 x 2 px that are often alike."""
    rng = np.random.default_rng(seed)
    shades = rng.integers(0, 256, (colours, 1, 1, 3))
    pages = shades[rng.integers(0, colours, grid[0] * grid[1])]
    noise = rng.integers(-2, 3, (len(pages), 2, 2, 3)) * (rng.random((len(pages), 1, 1, 1)) < 0.4)
    return torch.from_numpy(np.clip(pages + noise, 0, 255).astype(np.uint8))


def page(pixels: Tensor, grid: tuple[int, int]) -> VisionTokens:
    features = torch.arange(len(pixels) * 3, dtype=torch.float32).view(-1, 3)
    return VisionTokens(features, grid, signals={"pixels": pixels})


def predicted_places(pixels: Tensor, grid: tuple[int, int], threshold: int) -> list[int]:
    """What the predictor misses, token by token and value by value."""
    rows, columns = grid
    values = [[int(v) for v in token.flatten()] for token in pixels]
    left = [list(token) for token in values]
    kept = []

    def alike(one: list[int], other: list[int]) -> bool:
        return all(abs(a - b) <= threshold for a, b in zip(one, other, strict=True))

    for row, column in itertools.product(range(rows), range(columns)):
        at = row * columns + column
        if row == 0 and column == 0:
            kept.append(at)
            continue
        if row == 0:
            guess = left[at - 1]
        elif column == 0:
            guess = left[at - columns]
        else:
            a, b, c = left[at - 1], left[at - columns], left[at - columns - 1]
            guess = b if alike(c, a) and not alike(c, b) else a
        if alike(values[at], guess):
            left[at] = list(guess)
        else:
            kept.append(at)
    return kept


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_pixel_prune_is_the_loop(grid: tuple[int, int], threshold: int) -> None:
    compressor = PixelPrune(threshold)
    for seed in range(12):
        pixels = few_colours(grid, seed, colours=2 + seed % 3)
        result = compressor.compress(page(pixels, grid))
        assert result.kept.tolist() == predicted_places(pixels, grid, threshold)
        again = rebuilt(pixels[result.kept], result.kept, grid, threshold)
        assert int((again.short() - pixels.short()).abs().max()) <= threshold


def shades(rows: list[str]) -> tuple[Tensor, tuple[int, int]]:
    """A page of single-coloured tokens, one a letter."""
    values = torch.tensor([[ord(letter) for letter in row] for row in rows], dtype=torch.uint8)
    grid = (len(rows), len(rows[0]))
    return values.view(-1, 1, 1, 1).expand(-1, 2, 2, 3).contiguous(), grid


def test_pixel_prune_of_pages_with_known_answers() -> None:
    for rows, expected in [
        (["aaaa", "aaaa", "aaaa"], [0]),
        (["abab", "baba", "abab"], list(range(12))),
        (["aaaa", "abba", "abba", "aaaa"], [0, 5, 7, 13]),
    ]:
        pixels, grid = shades(rows)
        assert PixelPrune().compress(page(pixels, grid)).kept.tolist() == expected


def test_pixel_prune_is_anchored_to_what_is_left() -> None:
    """A slow gradient is within the threshold step by step, but not along the row."""
    pixels, grid = shades(["acegik"])
    assert PixelPrune(2).compress(page(pixels, grid)).kept.tolist() == [0, 2, 4]


def test_pixel_prune_before_the_encoder_packs_what_came_through() -> None:
    pixels, grid = shades(["aab", "aab"])
    compressor = PixelPrune(before_encoder=True)
    places = compressor.choose(pixels, grid)
    features = torch.randn(len(places), 5)
    result = compressor.compress(VisionTokens(features, grid, places=places))
    assert result.kept.tolist() == places.tolist() == [0, 2]
    assert torch.equal(result.features, features)
    with pytest.raises(ValueError, match=r"features: got shape \(3, 5\)"):
        compressor.compress(VisionTokens(torch.zeros(3, 5), grid, places=places))


@pytest.mark.parametrize("threshold", [-1, 256])
def test_threshold_outside_its_range(threshold: int) -> None:
    with pytest.raises(ConfigError, match=f"threshold: got {threshold}, allowed: gray levels"):
        PixelPrune(threshold)


def kept_of(rows: list[str], line_ends: bool) -> list[int]:
    pixels, grid = shades(rows)
    return BlankPrune(line_ends).compress(page(pixels, grid)).kept.tolist()


def test_blank_prune_keeps_what_shows_something() -> None:
    rows = [".......", ".ab.c..", ".......", "abcdefg", ".a....."]
    shown = [8, 9, 11, *range(21, 28), 29]
    assert kept_of(rows, line_ends=False) == shown
    assert kept_of(rows, line_ends=True) == sorted([0, *shown, 12, 14, 30])


def test_blank_is_exactly_the_background() -> None:
    pixels, grid = shades(["....", "#..a"])
    pixels = pixels.clone()
    pixels[1, 1, 0, 2] += 1
    assert BlankPrune(False).compress(page(pixels, grid)).kept.tolist() == [1, 4, 7]
    mixed = torch.arange(4 * 12, dtype=torch.uint8).view(4, 2, 2, 3)
    assert len(BlankPrune().compress(page(mixed, (2, 2))).kept) == 4
    assert kept_of(["..", ".."], line_ends=True) == [0, 2]
    assert kept_of(["..", ".."], line_ends=False) == [0]
    assert kept_of(["ab", "ba"], line_ends=False) == [1, 2]


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_norm_prune_is_a_sort(dtype: torch.dtype) -> None:
    features = torch.randn(35, 6, dtype=torch.float64).to(dtype)
    features[[4, 20]] = features[9].clone()
    norms = [float(sum(float(v) ** 2 for v in row)) ** 0.5 for row in features]
    for keep, sign in (("largest", -1), ("smallest", 1)):
        order = sorted(range(35), key=lambda i: (sign * round(norms[i], 9), i))
        for ratio, count in ((0.01, 1), (0.4, 14), (1.0, 35)):
            result = NormPrune(ratio, keep).compress(VisionTokens(features, (5, 7)))
            assert result.kept.tolist() == sorted(order[:count])
            assert torch.equal(result.features, features[result.kept])


def test_the_smaller_grid_is_the_best_that_fits() -> None:
    for grid in ((12, 12), (30, 21), (1, 7), (7, 1), (5, 3)):
        rows, columns = grid
        for budget in range(1, rows * columns + 1, 1 + rows * columns // 40):
            shape = smaller_grid(grid, budget)
            every = itertools.product(range(1, rows + 1), range(1, columns + 1))
            fitting = [(h, w) for h, w in every if h * w <= budget]
            best = max(min(h / rows, w / columns) for h, w in fitting)
            assert min(shape[0] / rows, shape[1] / columns) == best
            same = [h * w for h, w in fitting if min(h / rows, w / columns) == best]
            assert shape[0] * shape[1] == max(same) <= budget
        assert smaller_grid(grid, rows * columns) == grid


def field(grid: tuple[int, int], channels: int = 4) -> Tensor:
    values = np.random.default_rng(grid).normal(size=(grid[0] * grid[1], channels))
    return torch.from_numpy(values)


@pytest.mark.parametrize("grid", [(12, 12), (30, 21), (1, 7), (7, 1), (5, 3)])
@pytest.mark.parametrize("correct", [True, False])
def test_dct_resample_is_scipys_transform(grid: tuple[int, int], correct: bool) -> None:
    features = field(grid)
    for ratio in (0.1, 0.5, 0.8):
        result = DctResample(ratio, correct).compress(VisionTokens(features, grid))
        height, width = smaller_grid(grid, max(1, int(ratio * len(features) + 0.5)))
        spectrum = scipy.fft.dctn(features.numpy().reshape(*grid, -1), axes=(0, 1), norm="ortho")
        low = scipy.fft.idctn(spectrum[:height, :width], axes=(0, 1), norm="ortho")
        if correct:
            low = low * np.sqrt(height * width / len(features))
        if (height, width) != grid:
            np.testing.assert_allclose(result.features, low.reshape(-1, 4), atol=1e-12)


def test_dct_resample_keeps_low_waves_and_constants() -> None:
    rows, columns = 12, 8
    row, column = torch.arange(rows).double()[:, None] + 0.5, torch.arange(columns).double() + 0.5
    wave = torch.cos(torch.pi * 2 * row / rows) * torch.cos(torch.pi * 3 * column / columns)
    tokens = VisionTokens(wave.reshape(-1, 1), (rows, columns))
    result = DctResample(0.5).compress(tokens)
    height, width = smaller_grid((rows, columns), 48)
    row, column = torch.arange(height).double()[:, None] + 0.5, torch.arange(width).double() + 0.5
    same = torch.cos(torch.pi * 2 * row / height) * torch.cos(torch.pi * 3 * column / width)
    torch.testing.assert_close(result.features[:, 0], same.flatten())
    constant = VisionTokens(torch.full((96, 2), 3.0), (rows, columns))
    torch.testing.assert_close(
        DctResample(0.25).compress(constant).features, torch.full((24, 2), 3.0)
    )
    published = DctResample(0.25, correct=False).compress(constant)
    torch.testing.assert_close(published.features, torch.full((24, 2), 6.0))


@pytest.mark.parametrize("grid", [(12, 12), (30, 21), (1, 7), (5, 3)])
def test_block_mean_is_a_loop_over_blocks(grid: tuple[int, int]) -> None:
    features, (rows, columns) = field(grid), grid
    for ratio in (0.05, 0.3, 0.5):
        result = BlockMean(ratio).compress(VisionTokens(features, grid))
        height, width = smaller_grid(grid, max(1, int(ratio * len(features) + 0.5)))
        assert len(result.kept) == height * width
        for i, j in itertools.product(range(height), range(width)):
            inside = [
                features[r * columns + c]
                for r, c in itertools.product(range(rows), range(columns))
                if i * rows // height <= r < (i + 1) * rows // height
                and j * columns // width <= c < (j + 1) * columns // width
            ]
            mean = sum(inside) / len(inside)
            torch.testing.assert_close(result.features[i * width + j], mean)
            centre = (2 * i + 1) * rows // (2 * height) * columns + (2 * j + 1) * columns // (
                2 * width
            )
            assert int(result.kept[i * width + j]) == centre


def test_a_quarter_is_two_by_two_pooling() -> None:
    features = field((8, 6))
    pooled = torch.nn.functional.avg_pool2d(features.T.view(1, 4, 8, 6), 2)
    result = BlockMean(0.25).compress(VisionTokens(features, (8, 6)))
    torch.testing.assert_close(result.features, pooled.view(4, -1).T)
