"""block_dct without a bitstream against slow references of Algorithm 1, and its properties."""

from __future__ import annotations

import functools
import math

import numpy as np
import numpy.typing as npt
import pytest
import scipy.fft
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from freqexp.codecs.block_dct import BlockDct
from freqexp.codecs.block_dct_exact import largest, threshold_blocks
from freqexp.errors import ConfigError
from freqexp.nouns.page import Pixels

exact = functools.partial(BlockDct, bitstream=False)
Floats = npt.NDArray[np.float64]
MAGNITUDE_GRID = 2.0**-12
HALF_UNIT = 2.0**-20
NOISE = 1e-9
ratios = st.floats(0, 1, exclude_min=True)


def random_page(shape: tuple[int, ...], seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def blocks_of(pixels: Pixels, block: int) -> list[tuple[int, int, int, Floats]]:
    """(channel, top, left, coefficients [block, block]) of each tile of the edge-padded page."""
    planes = pixels[:, :, np.newaxis] if pixels.ndim == 2 else pixels
    height, width, channels = planes.shape
    tiles = []
    for channel in range(channels):
        for top in range(0, height, block):
            for left in range(0, width, block):
                rows = np.minimum(np.arange(top, top + block), height - 1)
                columns = np.minimum(np.arange(left, left + block), width - 1)
                tile = planes[rows][:, columns, channel].astype(np.float64)
                tiles.append((channel, top, left, scipy.fft.dctn(tile, norm="ortho")))
    return tiles


def inverse(tiles: list[tuple[int, int, int, Floats]], pixels: Pixels) -> Floats:
    """The page of these coefficients, cropped and clipped, not rounded: float64 like `pixels`."""
    block = tiles[0][3].shape[0]
    height, width = (-(-side // block) * block for side in pixels.shape[:2])
    page = np.zeros((height, width, 1 if pixels.ndim == 2 else 3))
    for channel, top, left, coefficients in tiles:
        tile = scipy.fft.idctn(coefficients, norm="ortho")
        page[top : top + block, left : left + block, channel] = tile
    page = np.clip(page[: pixels.shape[0], : pixels.shape[1]], 0, 255)
    return page[:, :, 0] if pixels.ndim == 2 else page


def percentile_reference(
    pixels: Pixels, keep_ratio: float, threshold: str = "image", block: int = 14
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Algorithm 1 as published: the page, and where a coefficient all but ties with tau."""
    tiles = blocks_of(pixels, block)
    everything = np.abs(np.stack([tile[3] for tile in tiles]))
    percent = 100 * (1 - keep_ratio)
    page_tau = np.percentile(everything, percent)
    thresholded, tied = [], np.zeros(pixels.shape, dtype=bool)
    for (channel, top, left, coefficients), magnitude in zip(tiles, everything, strict=True):
        tau = page_tau if threshold == "image" else np.percentile(magnitude, percent)
        kept = magnitude >= tau
        kept[0, 0] = True
        thresholded.append((channel, top, left, np.where(kept, coefficients, 0)))
        if np.any(np.abs(magnitude - tau) <= MAGNITUDE_GRID):
            area = (slice(top, top + block), slice(left, left + block), channel)
            tied[area[: pixels.ndim]] = True
    return inverse(thresholded, pixels), tied


def rank_reference(pixels: Pixels, keep_ratio: float, block: int = 14) -> tuple[Floats, int]:
    """The page when exactly K coefficients stay, ties by position on the page; and the kept."""
    tiles = blocks_of(pixels, block)
    ranked = []
    for index, (channel, top, left, coefficients) in enumerate(tiles):
        for u in range(block):
            for v in range(block):
                units = round(abs(coefficients[u, v]) / MAGNITUDE_GRID)
                ranked.append((-units, channel, top + u, left + v, index, u, v))
    ranked.sort()
    count = 1 + math.floor(keep_ratio * (len(ranked) - 1))
    kept = {(index, u, v) for *_, index, u, v in ranked[:count]}
    kept |= {(index, 0, 0) for index in range(len(tiles))}
    thresholded = []
    for index, (channel, top, left, coefficients) in enumerate(tiles):
        mask = np.array([[(index, u, v) in kept for v in range(block)] for u in range(block)])
        thresholded.append((channel, top, left, np.where(mask, coefficients, 0)))
    return inverse(thresholded, pixels), len(kept)


def assert_rounds_to(pixels: Pixels, exact: Floats) -> None:
    """Every pixel is the nearest integer of `exact`, halves up."""
    expected = np.floor(exact + 0.5 + HALF_UNIT)
    undecided = np.abs(exact + 0.5 + HALF_UNIT - np.rint(exact + 0.5)) < NOISE
    assert undecided.mean() < 0.01
    np.testing.assert_array_equal(np.where(undecided, pixels, expected), pixels)


@pytest.mark.parametrize("threshold", ["image", "block"])
@pytest.mark.parametrize("keep_ratio", [0.013, 0.3, 0.5, 0.83, 1.0])
@pytest.mark.parametrize("shape", [(42, 42), (29, 71), (15, 14), (5, 9), (30, 45, 3)])
def test_random_pages_match_algorithm_1(
    shape: tuple[int, ...], keep_ratio: float, threshold: str
) -> None:
    page = random_page(shape)
    expected, _ = percentile_reference(page, keep_ratio, threshold)
    assert_rounds_to(exact(14, keep_ratio, threshold).compress(page).pixels, expected)


@pytest.mark.parametrize("block", [1, 2, 8, 16])
def test_other_block_sizes_match_algorithm_1(block: int) -> None:
    page = random_page((37, 50))
    expected, tied = percentile_reference(page, 0.4, block=block)
    pixels = exact(block, 0.4).compress(page).pixels
    assert_rounds_to(np.where(tied, 0, pixels), np.where(tied, 0, expected))
    assert tied.mean() < 0.05


@pytest.mark.parametrize("threshold", ["image", "block"])
@pytest.mark.parametrize("keep_ratio", [0.1, 0.3, 0.5])
def test_real_pages_match_algorithm_1_away_from_ties(
    text_page: Pixels, keep_ratio: float, threshold: str
) -> None:
    expected, tied = percentile_reference(text_page, keep_ratio, threshold)
    pixels = exact(14, keep_ratio, threshold).compress(text_page).pixels
    assert_rounds_to(np.where(tied, 0, pixels), np.where(tied, 0, expected))
    inked = text_page < 255
    assert tied[inked].mean() < 0.02


def test_real_colour_pages_match_algorithm_1_away_from_ties(colour_page: Pixels) -> None:
    expected, tied = percentile_reference(colour_page, 0.3)
    pixels = exact(14, 0.3).compress(colour_page).pixels
    assert_rounds_to(np.where(tied, 0, pixels), np.where(tied, 0, expected))
    assert tied.mean() < 0.05


@pytest.mark.parametrize("keep_ratio", [0.004, 0.1, 0.5])
def test_ties_go_to_the_first_position(sparse_page: Pixels, keep_ratio: float) -> None:
    result = exact(14, keep_ratio).compress(sparse_page)
    expected, kept = rank_reference(sparse_page, keep_ratio)
    assert_rounds_to(result.pixels, expected)
    assert result.nominal_ratio == sparse_page.size / kept


@pytest.mark.parametrize("keep_ratio", [0.1, 0.2, 0.3, 0.4, 0.6])
def test_rounding_errors_do_not_break_ties(keep_ratio: float) -> None:
    """The eight mirror images of a tile have the same magnitudes, up to rounding errors."""
    tile = random_page((14, 14))
    turned = [np.rot90(side, turns) for side in (tile, tile.T) for turns in range(4)]
    page = np.hstack(turned)
    result = exact(14, keep_ratio).compress(page)
    expected, kept = rank_reference(page, keep_ratio)
    assert_rounds_to(result.pixels, expected)
    assert result.nominal_ratio == page.size / kept


@given(
    magnitude=st.lists(st.integers(0, 4), min_size=1, max_size=40),
    keep_ratio=ratios,
    copies=st.integers(1, 3),
)
def test_largest_is_a_stable_sort(magnitude: list[int], keep_ratio: float, copies: int) -> None:
    size = len(magnitude)
    rows = np.array([np.roll(magnitude, shift) for shift in range(copies)], dtype=np.float64)
    mask = largest(rows, keep_ratio)
    count = 1 + math.floor(keep_ratio * (size - 1) + 1e-9)
    for row, kept in zip(rows, mask, strict=True):
        order = sorted(range(size), key=lambda i, row=row: (-row[i], i))
        assert np.flatnonzero(kept).tolist() == sorted(order[:count])


@given(
    magnitude=st.lists(st.floats(0, 1e4, width=32), min_size=2, max_size=40, unique=True),
    keep_ratio=st.sampled_from([0.01, 0.1, 0.25, 0.3, 0.5, 0.7, 0.9, 1.0]),
)
def test_largest_is_the_percentile_rule_without_ties(
    magnitude: list[float], keep_ratio: float
) -> None:
    values = np.array(magnitude)
    tau = np.percentile(values, 100 * (1 - keep_ratio))
    # Where tau is one of the values, its interpolation may round to just above it.
    expected = values >= tau - 1e-9 * abs(tau)
    np.testing.assert_array_equal(largest(values[np.newaxis], keep_ratio)[0], expected)


@given(seed=st.integers(0, 1000), first=ratios, second=ratios, per_block=st.booleans())
@settings(max_examples=50)
def test_kept_sets_are_nested_and_the_error_is_the_dropped_energy(
    seed: int, first: float, second: float, per_block: bool
) -> None:
    page = random_page((28, 42), seed) // 64 * 64  # few levels: many ties
    planes = torch.from_numpy(page.astype(np.float64))[None]
    errors, masks = [], []
    for keep_ratio in sorted((first, second)):
        restored, kept = threshold_blocks(planes, 14, keep_ratio, per_block)
        errors.append(float((restored - planes).square().sum()))
        masks.append(kept)
        dropped = 0.0
        for row in range(2):
            for column in range(3):
                tile = page[14 * row : 14 * row + 14, 14 * column : 14 * column + 14]
                coefficients = scipy.fft.dctn(tile.astype(np.float64), norm="ortho")
                dropped += (coefficients[~kept[0, row, :, column].numpy()] ** 2).sum()
        assert errors[-1] == pytest.approx(dropped, rel=1e-9, abs=1e-9)
    assert bool((masks[0] <= masks[1]).all())
    assert errors[1] <= errors[0] + 1e-9
    assert bool(masks[0][:, :, 0, :, 0].all())


@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    colour=st.booleans(),
    threshold=st.sampled_from(["image", "block"]),
    block=st.integers(1, 20),
)
@settings(max_examples=60)
def test_keeping_everything_gives_the_page_back(
    height: int, width: int, colour: bool, threshold: str, block: int
) -> None:
    page = random_page((height, width, 3) if colour else (height, width), height * width)
    result = exact(block, 1.0, threshold).compress(page)
    np.testing.assert_array_equal(result.pixels, page)
    assert result.nominal_ratio == 1


@pytest.mark.parametrize("keep_ratio", [1e-9, 0.3, 1.0])
@pytest.mark.parametrize("level", [0, 128, 255])
def test_blank_pages_stay_blank(level: int, keep_ratio: float) -> None:
    page = np.full((50, 31), level, dtype=np.uint8)
    np.testing.assert_array_equal(exact(14, keep_ratio).compress(page).pixels, page)


def test_only_the_means_stay_at_the_smallest_ratio() -> None:
    page = random_page((28, 28))
    result = exact(14, 1e-9).compress(page)
    means = page.reshape(2, 14, 2, 14).mean(axis=(1, 3))
    expected = np.floor(means + 0.5).astype(np.uint8).repeat(14, axis=0).repeat(14, axis=1)
    # The largest coefficient of the page is one of the DCs, so there is nothing else.
    np.testing.assert_array_equal(result.pixels, expected)
    assert result.nominal_ratio == 196


@pytest.mark.parametrize("block", [2, 6, 14])
def test_halves_round_up(block: int) -> None:
    page = np.full((block, block), 100, dtype=np.uint8)
    page[:, ::2] = 101
    assert np.unique(exact(block, 1e-9).compress(page).pixels).tolist() == [101]


def test_the_result_does_not_depend_on_threads_or_on_the_call(text_page: Pixels) -> None:
    codec = exact(14, 0.3)
    before, threads = text_page.copy(), torch.get_num_threads()
    results = []
    try:
        for count in (1, 2, 5):
            torch.set_num_threads(count)
            results.append(codec.compress(text_page))
    finally:
        torch.set_num_threads(threads)
    for result in results:
        np.testing.assert_array_equal(result.pixels, results[0].pixels)
        assert result.nominal_ratio == results[0].nominal_ratio
    np.testing.assert_array_equal(text_page, before)


def test_read_only_and_strided_pages(text_page: Pixels) -> None:
    page = text_page[:60, :90].copy()
    page.flags.writeable = False
    flipped = page[::-1]
    upright = exact(14, 0.5).compress(flipped.copy()).pixels
    np.testing.assert_array_equal(exact(14, 0.5).compress(flipped).pixels, upright)
    assert upright.flags.c_contiguous
    assert upright.flags.writeable


def test_fit_resize_is_the_method_on_the_resized_page(text_page: Pixels) -> None:
    resized = np.asarray(Image.fromarray(text_page).resize((588, 840), Image.Resampling.BICUBIC))
    expected = exact(14, 0.5).compress(resized)
    result = exact(14, 0.5, fit="resize").compress(text_page)
    np.testing.assert_array_equal(result.pixels, expected.pixels)
    assert result.nominal_ratio == expected.nominal_ratio


@pytest.mark.parametrize(
    ("shape", "size"),
    [((13, 13), (14, 14)), ((1, 1, 3), (14, 14, 3)), ((27, 40), (14, 28)), ((28, 14), (28, 14))],
)
def test_fit_resize_sizes(shape: tuple[int, ...], size: tuple[int, ...]) -> None:
    assert exact(14, 0.5, fit="resize").compress(random_page(shape)).pixels.shape == size


def test_fit_resize_leaves_a_fitting_page_alone(sparse_page: Pixels) -> None:
    result = exact(14, 1.0, fit="resize").compress(sparse_page)
    np.testing.assert_array_equal(result.pixels, sparse_page)


def test_nothing_is_stored() -> None:
    codec = exact()
    assert codec.simulated
    assert codec.compress(random_page((14, 14))).stored_bytes is None


def test_all_faults_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        exact(0, math.nan, "page", "crop")
    assert caught.value.faults == (
        "block: got 0, allowed: 1 to 128",
        "keep_ratio: got nan, allowed: above 0, at most 1",
        "threshold: got 'page', allowed: image, block",
        "fit: got 'crop', allowed: pad, resize",
    )


@pytest.mark.parametrize("keep_ratio", [0.0, -0.5, 1.5, math.inf])
def test_keep_ratio_out_of_range(keep_ratio: float) -> None:
    with pytest.raises(ConfigError, match="keep_ratio"):
        exact(14, keep_ratio)


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.zeros((4, 4)), "got float64"),
        (np.zeros((4, 4, 4), np.uint8), r"\[4, 4, 4\], allowed: uint8 \[H, W\] or \[H, W, 3\]"),
        (np.zeros(4, np.uint8), r"\[4\]"),
        (np.zeros((0, 4), np.uint8), "empty page"),
    ],
)
def test_no_page(pixels: npt.NDArray[np.generic], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        exact().compress(pixels)  # type: ignore[arg-type]
