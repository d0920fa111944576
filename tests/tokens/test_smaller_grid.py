"""Methods that make a smaller grid: dct_resample and block_mean."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from scipy.fft import dctn, idctn
from torch import Tensor

from freqexp.errors import ConfigError, UserError
from freqexp.nouns.vision import VisionTokens
from freqexp.tokens.base import TokenCompressor
from freqexp.tokens.block_mean import BlockMean
from freqexp.tokens.dct_resample import DctResample
from freqexp.tokens.smaller_grid import smaller_grid

GRIDS = [(6, 6), (5, 9), (9, 4), (1, 7), (8, 1), (1, 1)]
METHODS = [DctResample(0.5), DctResample(0.5, correct=False), BlockMean(0.5)]


def tokens_of(
    grid: tuple[int, int], dtype: torch.dtype = torch.float64, budget: int | None = None
) -> VisionTokens:
    noise = np.random.default_rng(grid).normal(size=(grid[0] * grid[1], 4))
    return VisionTokens(torch.from_numpy(noise).to(dtype), grid, budget=budget)


def centres(grid: tuple[int, int], shape: tuple[int, int]) -> list[int]:
    """Places of the centres of h x w equal parts of a grid, floor((i + 0.5) H / h)."""
    rows, columns = (
        [math.floor((i + Fraction(1, 2)) * large / small) for i in range(small)]
        for large, small in zip(grid, shape, strict=True)
    )
    return [row * grid[1] + column for row in rows for column in columns]


def by_scipy(page: Tensor, shape: tuple[int, int], correct: bool) -> Tensor:
    """A page [H, W, channels] -> [h w, channels]."""
    levels = []
    for channel in page.unbind(-1):
        block = dctn(channel.numpy(), norm="ortho")[: shape[0], : shape[1]]
        levels.append(torch.from_numpy(idctn(block, norm="ortho")).flatten())
    factor = math.sqrt(shape[0] * shape[1] / (page.shape[0] * page.shape[1])) if correct else 1
    return torch.stack(levels, 1) * factor


def by_loops(page: Tensor, shape: tuple[int, int]) -> Tensor:
    """Block means of a page [H, W, channels] -> [h w, channels]."""
    (rows, columns, channels), (h, w) = page.shape, shape
    means = []
    for i in range(h):
        for j in range(w):
            block = [
                page[r, c]
                for r in range(rows)
                for c in range(columns)
                if i * rows // h <= r < (i + 1) * rows // h
                and j * columns // w <= c < (j + 1) * columns // w
            ]
            means.append(
                [math.fsum(t[k].item() for t in block) / len(block) for k in range(channels)]
            )
    return torch.tensor(means, dtype=torch.float64)


@pytest.mark.parametrize("grid", [(6, 6), (5, 9), (9, 4), (1, 7), (8, 1), (30, 21)])
def test_the_smaller_grid_shrinks_the_page_the_least(grid: tuple[int, int]) -> None:
    rows, columns = grid
    for budget in range(1, rows * columns + 1, 1 + rows * columns // 40):
        shapes = [
            (min(Fraction(h, rows), Fraction(w, columns)), h * w, h, w)
            for h in range(1, rows + 1)
            for w in range(1, columns + 1)
            if h * w <= budget
        ]
        assert smaller_grid(grid, budget) == max(shapes)[2:]
    assert smaller_grid(grid, rows * columns) == grid
    assert smaller_grid(grid, 1) == (1, 1)


def test_a_quarter_halves_each_side() -> None:
    assert smaller_grid((24, 24), 144) == (12, 12)
    assert smaller_grid((12, 12), 72) == (9, 8)
    assert smaller_grid((4, 100), 100) == (2, 50)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_tokens_are_those_of_a_reference(grid: tuple[int, int], dtype: torch.dtype) -> None:
    size = grid[0] * grid[1]
    for budget in {1, (size + 3) // 4, (size + 1) // 2, max(1, size - 1)}:
        tokens = tokens_of(grid, dtype, budget)
        page, shape = tokens.features.double().view(*grid, 4), smaller_grid(grid, budget)
        for method, expected in (
            (DctResample(0.9), by_scipy(page, shape, correct=True)),
            (DctResample(0.9, correct=False), by_scipy(page, shape, correct=False)),
            (BlockMean(0.9), by_loops(page, shape)),
        ):
            result = method.compress(tokens)
            assert result.features.dtype == dtype
            assert result.nominal_ratio == size / (shape[0] * shape[1])
            assert result.kept.tolist() == centres(grid, shape)
            tolerance = {torch.float64: 1e-12, torch.float32: 1e-6, torch.bfloat16: 8e-3}[dtype]
            torch.testing.assert_close(
                result.features.double(), expected, rtol=tolerance, atol=tolerance
            )


@pytest.mark.parametrize("grid", [(12, 12), (7, 10)])
def test_a_constant_page_stays_constant_unless_as_published(grid: tuple[int, int]) -> None:
    page = VisionTokens(torch.full((grid[0] * grid[1], 3), 5.0, dtype=torch.float64), grid)
    for method in (DctResample(0.25), BlockMean(0.25)):
        result = method.compress(page)
        torch.testing.assert_close(result.features, torch.full_like(result.features, 5.0))
    published = DctResample(0.25, correct=False).compress(page)
    gain = math.sqrt(grid[0] * grid[1] / len(published.kept))
    torch.testing.assert_close(published.features, torch.full_like(published.features, 5 * gain))


@pytest.mark.parametrize(("u", "v"), [(0, 1), (2, 0), (3, 2), (5, 4)])
def test_a_low_cosine_is_sampled_on_the_smaller_grid(u: int, v: int) -> None:
    def cosine(rows: int, columns: int) -> Tensor:
        down = [math.cos(math.pi * (2 * i + 1) * u / (2 * rows)) for i in range(rows)]
        across = [math.cos(math.pi * (2 * j + 1) * v / (2 * columns)) for j in range(columns)]
        return torch.outer(torch.tensor(down).double(), torch.tensor(across).double())

    assert smaller_grid((12, 10), 30) == (6, 5)
    tokens = VisionTokens(cosine(12, 10).flatten().unsqueeze(1), (12, 10))
    result = DctResample(0.25).compress(tokens)
    expected = cosine(6, 5).flatten().unsqueeze(1)
    torch.testing.assert_close(result.features, expected, rtol=0, atol=1e-6)


def test_a_high_cosine_is_removed() -> None:
    rows = torch.cos(math.pi * (2 * torch.arange(12).double() + 1) * 7 / 24)
    tokens = VisionTokens(rows.repeat_interleave(10).unsqueeze(1), (12, 10))
    assert float(DctResample(0.25).compress(tokens).features.abs().max()) < 1e-12


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_deep_stack_follows_by_the_same_map(
    method: TokenCompressor, dtype: torch.dtype
) -> None:
    own, level = tokens_of((5, 9), dtype), torch.randn(45, 6).to(dtype)
    both = VisionTokens(own.features, (5, 9), (level, own.features))
    result = method.compress(both)
    assert torch.equal(result.features, method.compress(own).features)
    assert torch.equal(result.deepstack[0], method.compress(VisionTokens(level, (5, 9))).features)
    torch.testing.assert_close(result.deepstack[1], result.features)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_grid_of_the_pages_own_shape_leaves_every_bit(
    grid: tuple[int, int], dtype: torch.dtype
) -> None:
    size = grid[0] * grid[1]
    tokens = tokens_of(grid, dtype, budget=size)
    tokens.features[0, 0] = -0.0
    for method in METHODS:
        result = method.compress(tokens)
        assert result.kept.tolist() == list(range(size))
        assert torch.equal(result.features, tokens.features)
        assert bool(torch.signbit(result.features[0, 0]))
    assert [DctResample(1.0).simulated, BlockMean(1.0).simulated] == [True, True]
    assert not any(method.simulated for method in METHODS)


def test_bad_input_is_named() -> None:
    tokens = tokens_of((3, 4))
    for method in METHODS:
        with pytest.raises(ValueError, match="keep_tokens: got 13, allowed: 1 to the page's 12"):
            method.compress(tokens_of((3, 4), budget=13))
        with pytest.raises(UserError, match="NaN or infinity"):
            method.compress(VisionTokens(tokens.features / 0, (3, 4)))
        with pytest.raises(ValueError, match=r"features: got shape \(12, 4\)"):
            method.compress(VisionTokens(tokens.features, (3, 5)))
    for build in (DctResample, BlockMean):
        with pytest.raises(ConfigError, match=r"keep_ratio: got 1\.5"):
            build(1.5)
