"""The token compressor against a slow reference of Algorithm 2, and its properties."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
import scipy.fft
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from freqexp.errors import ConfigError, UserError
from freqexp.nouns.page import Pixels
from freqexp.nouns.vision import VisionTokens
from freqexp.tokens.dct import TokenDct

Floats = npt.NDArray[np.float64]
MILD, AGGRESSIVE, EXTREME = (8, 4, 2), (8, 4, 0), (8, 3, 0)
GRIDS = [(30, 21), (12, 12), (1, 7), (7, 1), (2, 3), (1, 1)]
grids = st.tuples(st.integers(1, 9), st.integers(1, 9))


def random_tokens(
    grid: tuple[int, int], channels: int = 8, seed: int = 0, dtype: torch.dtype = torch.float32
) -> VisionTokens:
    """Normal features, each channel with a scale and an offset of its own."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(grid[0] * grid[1], channels))
    features = features * rng.uniform(0.1, 10, channels) + rng.normal(size=channels)
    return VisionTokens(torch.from_numpy(features).to(dtype), grid)


def patch_tokens(page: Pixels) -> VisionTokens:
    """The 28 x 28 patches of a real page as tokens [rows * columns, 784] in [0, 1]."""
    rows, columns = page.shape[0] // 28, page.shape[1] // 28
    patches = page[: 28 * rows, : 28 * columns].reshape(rows, 28, columns, 28).swapaxes(1, 2)
    features = torch.from_numpy(patches.reshape(rows * columns, 784) / 255).float()
    return VisionTokens(features, (rows, columns))


def reference_features(
    tokens: VisionTokens, bits: tuple[int, ...], edges: tuple[float, float], scale: str
) -> Floats:
    """Steps 2 to 5 with loops over channels and coefficients: float64 [tokens, channels]."""
    rows, columns = tokens.grid
    features = tokens.features.double().numpy()
    spectra = [
        scipy.fft.dctn(features[:, channel].reshape(rows, columns), norm="ortho")
        for channel in range(features.shape[1])
    ]
    for band in range(3):
        places = []
        for u in range(rows):
            for v in range(columns):
                frequency = math.sqrt(u * u + v * v)
                index = 0 if frequency < edges[0] else 1 if frequency < edges[1] else 2
                if index == band:
                    places.append((u, v))
        if not places:
            continue
        peaks = [max(abs(spectrum[place]) for place in places) for spectrum in spectra]
        for spectrum, own_peak in zip(spectra, peaks, strict=True):
            peak = own_peak if scale == "channel" else max(peaks)
            for place in places:
                spectrum[place] = reference_level(spectrum[place], peak, bits[band])
    restored = [scipy.fft.idctn(spectrum, norm="ortho").ravel() for spectrum in spectra]
    return np.stack(restored, axis=1)


def reference_level(value: float, peak: float, bits: int) -> float:
    if bits == 0 or peak == 0:
        return 0.0
    if bits == 1:
        return math.copysign(peak / 2, value)
    step = peak / (2 ** (bits - 1) - 1)
    return round(value / step) * step


def reference_energy(features: Floats, energy: str) -> list[float]:
    power = 2 if energy == "l2" else 1
    mean = features.mean(axis=0)
    return [float((np.abs(token - mean) ** power).sum()) for token in features]


@pytest.mark.parametrize(
    ("bits", "edges"),
    [
        (MILD, (4, 8)),
        (AGGRESSIVE, (4, 8)),
        (EXTREME, (3, 6)),
        ((16, 14, 12), (16, 24)),
        ((1, 0, 2), (2.5, 2.5)),
    ],
)
@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize(("scale", "energy"), [("channel", "l2"), ("tensor", "l1")])
def test_random_tokens_match_algorithm_2(
    grid: tuple[int, int],
    bits: tuple[int, int, int],
    edges: tuple[float, float],
    scale: str,
    energy: str,
) -> None:
    tokens = random_tokens(grid)
    expected = reference_features(tokens, bits, edges, scale)
    energies = reference_energy(expected, energy)
    count = max(1, math.floor(0.3 * len(expected) + 0.5))
    order = sorted(range(len(expected)), key=lambda i: (-energies[i], i))
    compressor = TokenDct(0.3, bits, edges, energy=energy, scale=scale)
    result = compressor.compress(tokens)
    assert result.kept.tolist() == sorted(order[:count])
    np.testing.assert_allclose(
        result.features.numpy(), expected[result.kept.numpy()], rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("energy", ["l2", "l1"])
def test_tokens_of_a_real_page_match_algorithm_2(text_page: Pixels, energy: str) -> None:
    tokens = patch_tokens(text_page)
    assert tokens.grid == (30, 21)
    expected = reference_features(tokens, AGGRESSIVE, (4, 8), "channel")
    result = TokenDct(0.5, AGGRESSIVE, (4, 8), energy=energy).compress(tokens)
    np.testing.assert_allclose(
        result.features.numpy(), expected[result.kept.numpy()], rtol=1e-6, atol=1e-6
    )
    # Which of two equally energetic patches is kept is a matter of rounding to the reference.
    energies = np.array(reference_energy(expected, energy))
    dropped = np.delete(energies, result.kept.numpy())
    assert len(result.kept) == 315
    assert energies[result.kept.numpy()].min() >= dropped.max() * (1 - 1e-6)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_transform_alone_gives_the_input_back(
    grid: tuple[int, int], dtype: torch.dtype
) -> None:
    tokens = random_tokens(grid, 64, dtype=dtype)
    result = TokenDct(1.0, quantize=False).compress(tokens)
    assert result.features.dtype == dtype
    assert torch.equal(result.features, tokens.features)
    exact = random_tokens(grid, 64, dtype=torch.float64)
    restored = TokenDct(1.0, quantize=False).compress(exact).features
    torch.testing.assert_close(restored, exact.features, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("keep_ratio", [0.3, 1.0])
def test_pruning_alone_leaves_the_kept_tokens_bitwise(
    dtype: torch.dtype, keep_ratio: float
) -> None:
    tokens = random_tokens((12, 12), dtype=dtype)
    tokens.features[5, 2] = -0.0
    tokens.features[:, 3] *= 1e-30
    result = TokenDct(keep_ratio, transform=False, quantize=False).compress(tokens)
    before = tokens.features[result.kept].contiguous().view(torch.uint8)
    assert torch.equal(result.features.contiguous().view(torch.uint8), before)
    assert len(result.kept) == (43 if keep_ratio == 0.3 else 144)


def test_quantising_alone_keeps_every_token() -> None:
    tokens = random_tokens((30, 21))
    result = TokenDct(0.5, MILD, prune=False).compress(tokens)
    assert torch.equal(result.kept, torch.arange(630))
    pruned = TokenDct(0.5, MILD).compress(tokens)
    assert torch.equal(result.features[pruned.kept], pruned.features)
    assert len(pruned.kept) == 315


@pytest.mark.parametrize(
    ("settings", "simulated"),
    [
        ({"keep_ratio": 0.5}, False),
        ({"keep_ratio": 1.0}, True),
        ({"keep_ratio": 0.5, "prune": False}, True),
        ({"keep_ratio": 0.5, "transform": False, "quantize": False}, False),
    ],
)
def test_only_fewer_tokens_are_a_real_saving(settings: dict[str, object], simulated: bool) -> None:
    assert TokenDct(**settings).simulated is simulated  # type: ignore[arg-type]


def test_nominal_ratio_counts_tokens_and_bits() -> None:
    single, half = random_tokens((12, 12)), random_tokens((12, 12), dtype=torch.bfloat16)
    mean_bits = (15 * 8 + 41 * 4 + 88 * 0) / 144
    quantised = TokenDct(0.5, AGGRESSIVE)
    assert quantised.compress(single).nominal_ratio == pytest.approx(2 * 32 / mean_bits)
    assert quantised.compress(half).nominal_ratio == pytest.approx(2 * 16 / mean_bits)
    assert TokenDct(0.25, quantize=False).compress(half).nominal_ratio == 4
    assert TokenDct(0.5, (16, 16, 16), prune=False).compress(half).nominal_ratio == 1
    assert TokenDct(0.5, (0, 0, 0)).compress(half).nominal_ratio is None
    result = quantised.compress(half)
    assert result.stored_bytes == sum(result.components.values())


@given(grid=grids, seed=st.integers(0, 99), first=st.floats(0.01, 1), second=st.floats(0.01, 1))
@settings(max_examples=60)
def test_kept_tokens_are_counted_sorted_and_nested(
    grid: tuple[int, int], seed: int, first: float, second: float
) -> None:
    tokens = random_tokens(grid, 4, seed)
    kept = []
    for keep_ratio in sorted((first, second)):
        result = TokenDct(keep_ratio, MILD).compress(tokens)
        count = max(1, math.floor(keep_ratio * grid[0] * grid[1] + 0.5))
        assert result.kept.dtype == torch.int64
        assert result.features.shape == (count, 4)
        assert result.kept.tolist() == sorted(set(result.kept.tolist()))
        assert len(result.kept) == count
        assert result.grid == grid
        kept.append(set(result.kept.tolist()))
    assert kept[0] <= kept[1] <= set(range(grid[0] * grid[1]))


@given(grid=grids, seed=st.integers(0, 99), bits=st.tuples(*[st.integers(0, 16)] * 3))
@settings(max_examples=60)
def test_the_error_is_the_quantisers(
    grid: tuple[int, int], seed: int, bits: tuple[int, int, int]
) -> None:
    """Parseval: the error of the features is that of the coefficients, at most half a step each."""
    tokens = random_tokens(grid, 3, seed, torch.float64)
    result = TokenDct(1.0, bits, (2, 5), prune=False).compress(tokens)
    error = (result.features - tokens.features).numpy()
    for channel in range(3):
        values = tokens.features[:, channel].reshape(grid).numpy()
        spectrum = scipy.fft.dctn(values, norm="ortho")
        spectrum_error = scipy.fft.dctn(error[:, channel].reshape(grid), norm="ortho")
        frequency = np.hypot(*np.indices(grid))
        for band, depth in zip((frequency < 2, (frequency >= 2) & (frequency < 5), frequency >= 5),
                               bits, strict=True):  # fmt: skip
            if band.any():
                peak = np.abs(spectrum[band]).max()
                step = 2 * peak if depth == 0 else peak / max(2 ** (depth - 1) - 1, 1)
                assert np.abs(spectrum_error[band]).max() <= step / 2 + 1e-12


def test_a_band_without_bits_is_zero() -> None:
    tokens = random_tokens((12, 12), 2, dtype=torch.float64)
    result = TokenDct(1.0, AGGRESSIVE, prune=False).compress(tokens)
    high = np.hypot(*np.indices((12, 12))) >= 8
    for channel in range(2):
        values = result.features[:, channel].reshape(12, 12).numpy()
        spectrum = scipy.fft.dctn(values, norm="ortho")
        assert np.abs(spectrum[high]).max() < 1e-12
        assert np.abs(spectrum[~high]).min() < np.abs(spectrum[~high]).max()


def test_the_two_energies_differ_as_they_should() -> None:
    """One large departure has more l2 energy, several small ones have more l1 energy."""
    features = torch.zeros(1 * 4, 4)
    features[0] = torch.tensor([3.0, 0, 0, 0])
    features[1] = torch.tensor([-3.0, 0, 0, 0])
    features[2] = torch.tensor([0, 1.4, 1.4, 1.4])
    features[3] = torch.tensor([0, -1.4, -1.4, -1.4])
    tokens = VisionTokens(features, (2, 2))
    kept = {
        energy: TokenDct(0.5, transform=False, quantize=False, energy=energy)
        .compress(tokens)
        .kept.tolist()
        for energy in ("l2", "l1")
    }
    assert kept == {"l2": [0, 1], "l1": [2, 3]}


def test_the_mean_of_the_page_is_no_energy() -> None:
    tokens = random_tokens((5, 6))
    shifted = VisionTokens(tokens.features + 1000 * torch.arange(1, 9), tokens.grid)
    prune = TokenDct(0.4, transform=False, quantize=False)
    assert torch.equal(prune.compress(shifted).kept, prune.compress(tokens).kept)


@pytest.mark.parametrize("transform", [False, True])
@pytest.mark.parametrize("value", [0.0, 0.1, -1e20, 1e-30])
def test_equal_tokens_go_by_position(value: float, transform: bool) -> None:
    tokens = VisionTokens(torch.full((35, 5), value), (5, 7))
    result = TokenDct(0.4, transform=transform, quantize=False).compress(tokens)
    assert result.kept.tolist() == list(range(14))


@pytest.mark.parametrize("transform", [False, True])
def test_pairs_of_equal_tokens_go_by_position(transform: bool) -> None:
    half = random_tokens((4, 5)).features
    tokens = VisionTokens(torch.cat([half, half]), (8, 5))
    for keep_ratio in (0.125, 0.375, 0.625):
        count = int(40 * keep_ratio)
        kept = TokenDct(keep_ratio, transform=transform, quantize=False).compress(tokens).kept
        upper, lower = kept[kept < 20], kept[kept >= 20] - 20
        assert (len(upper), len(lower)) == ((count + 1) // 2, count // 2)
        assert set(lower.tolist()) < set(upper.tolist())


@given(seed=st.integers(0, 99), power=st.integers(-60, 60), energy=st.sampled_from(["l2", "l1"]))
def test_the_choice_does_not_depend_on_the_unit(seed: int, power: int, energy: str) -> None:
    tokens = random_tokens((4, 6), 3, seed)
    scaled = VisionTokens(tokens.features * 2.0**power, tokens.grid)
    compressor = TokenDct(0.5, MILD, (2, 4), energy=energy)
    result, expected = compressor.compress(scaled), compressor.compress(tokens)
    assert torch.equal(result.kept, expected.kept)
    assert torch.equal(result.features, expected.features * 2.0**power)


def test_the_result_does_not_depend_on_threads_or_on_the_call() -> None:
    tokens = random_tokens((30, 21), 256)
    before, threads = tokens.features.clone(), torch.get_num_threads()
    compressor = TokenDct(0.5, MILD)
    results = []
    try:
        for count in (1, 2, 5):
            torch.set_num_threads(count)
            results.append(compressor.compress(tokens))
    finally:
        torch.set_num_threads(threads)
    for result in results:
        assert torch.equal(result.kept, results[0].kept)
        torch.testing.assert_close(result.features, results[0].features, rtol=1e-6, atol=1e-6)
    assert torch.equal(tokens.features, before)


def test_strided_features_and_inference_tensors() -> None:
    tokens = random_tokens((6, 5), 8)
    strided = VisionTokens(tokens.features.T.contiguous().T, tokens.grid)
    expected = TokenDct(0.5).compress(tokens)
    with torch.inference_mode():
        inference = VisionTokens(tokens.features.clone(), tokens.grid)
    for other in (strided, inference):
        assert torch.equal(TokenDct(0.5).compress(other).features, expected.features)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_features_that_are_no_numbers(value: float) -> None:
    tokens = random_tokens((2, 3))
    tokens.features[1, 2] = value
    with pytest.raises(UserError, match="NaN or infinity"):
        TokenDct(0.5).compress(tokens)


def test_all_faults_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        TokenDct(math.nan, (17, 4, -1), (8, 4), False, True, True, "l3", "page")
    assert caught.value.faults == (
        "keep_ratio: got nan, allowed: above 0, at most 1",
        "bits: got (17, 4, -1), allowed: three of 0 to 16",
        "edges: got (8, 4), allowed: two, 0 <= first <= second",
        "energy: got 'l3', allowed: l2, l1",
        "scale: got 'page', allowed: channel, tensor",
        "quantize: got True, allowed: true only with transform=true",
    )


@pytest.mark.parametrize(
    ("features", "grid", "message"),
    [
        (torch.zeros(5, 2), (2, 3), r"allowed: \[2 \* 3, channels\]"),
        (torch.zeros(6), (2, 3), "channels"),
        (torch.zeros(0, 2), (0, 3), "channels"),
        (torch.zeros(6, 2, dtype=torch.int64), (2, 3), "floating dtype"),
    ],
)
def test_tokens_that_do_not_fit(
    features: torch.Tensor, grid: tuple[int, int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        TokenDct(0.5).compress(VisionTokens(features, grid))
