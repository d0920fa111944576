"""The bitstream of vision tokens: round trip, counts, damage."""

from __future__ import annotations

import math
import zlib

import pytest
import torch

from freqexp.coding.bitstream import BitstreamError
from freqexp.coding.transforms import band_positions
from freqexp.nouns.vision import VisionTokens
from freqexp.tokens.bands import farthest, limits_of, rings_of
from freqexp.tokens.bitstream import StoredTokens, pack, same, unpack
from freqexp.tokens.coefficients import Quantised, quantise, restored
from freqexp.tokens.dct import TokenDct

GRID = (9, 13)
EDGES = (4.0, 8.0)


def coefficients(bits: tuple[int, ...], channels: int = 12) -> StoredTokens:
    generator = torch.Generator().manual_seed(0)
    limits = limits_of(GRID, EDGES)
    found = [
        quantise(torch.randn(len(ring), channels, generator=generator).double(), b, (0,))
        for ring, b in zip(rings_of(GRID, limits), bits, strict=True)
    ]
    peaks = tuple(None if levels is None else peak for levels, peak in found)
    kept = torch.arange(0, GRID[0] * GRID[1], 3)
    levels = tuple(levels for levels, _ in found)
    quantised = Quantised(bits, levels, peaks, limits)
    return StoredTokens(GRID, channels, torch.float32, kept, quantised)


@pytest.mark.parametrize("bits", [(8, 4, 0), (8, 4, 2), (16, 9, 1), (0, 0, 0), (1, 1, 1)])
def test_coefficients_survive(bits: tuple[int, ...]) -> None:
    stored = coefficients(bits)
    data, components = pack(stored)
    assert same(unpack(data), stored)
    assert sum(components.values()) == len(data)
    assert pack(stored)[0] == data


@pytest.mark.parametrize("grid", [(1, 1), (9, 13), (1, 40), (31, 17)])
@pytest.mark.parametrize(
    "edges", [(0.0, 0.0), (4.0, 8.0), (2.5, 5**0.5 * 3), (0.1, 1e300), (13**0.5, math.inf)]
)
def test_limits_make_the_bands_of_the_edges(
    grid: tuple[int, int], edges: tuple[float, float]
) -> None:
    limits = limits_of(grid, edges)
    assert 0 <= limits[0] <= limits[1] <= farthest(grid) + 1
    wanted = band_positions(grid, edges)
    for band, rings in zip(wanted, rings_of(grid, limits), strict=True):
        found = [math.isqrt((n // grid[1]) ** 2 + (n % grid[1]) ** 2) for n in band.tolist()]
        assert rings.tolist() == found


def test_streams_without_their_bands_are_refused_by_their_version() -> None:
    data = bytearray(pack(coefficients((8, 4, 0)))[0])
    data[4] = 1
    with pytest.raises(BitstreamError, match="version 1, this program reads 2"):
        unpack(bytes(data))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_tokens_survive_in_their_dtype(dtype: torch.dtype) -> None:
    values = torch.randn(5, 7).to(dtype)
    kept = torch.tensor([0, 2, 3, 7, 8])
    stored = StoredTokens((3, 3), 7, dtype, kept, values=values)
    found = unpack(pack(stored)[0])
    assert same(found, stored)
    other = values.clone()
    other[0, 0] += 1
    assert not same(StoredTokens((3, 3), 7, dtype, kept, values=other), stored)


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_levels_lie_within_half_a_step(bits: int) -> None:
    values = torch.randn(40, 6).double()
    levels, peak = quantise(values, bits, (0,))
    assert levels is not None
    step = peak if bits == 1 else peak / (2 ** (bits - 1) - 1)
    error = (restored(levels, peak, bits) - values).abs()
    assert bool((error <= step / 2 * (1 + 1e-12)).all())
    assert bool((peak == peak.float().double()).all())


def test_stored_bytes_of_the_compressor_are_far_below_bfloat16() -> None:
    tokens = VisionTokens(torch.randn(144, 256).bfloat16(), (12, 12))
    result = TokenDct(0.5).compress(tokens)
    assert result.stored_bytes == sum(result.components.values())
    assert result.stored_bytes is not None
    assert 4 * result.stored_bytes < tokens.features.nelement() * 2
    raw = TokenDct(0.5, transform=False, quantize=False).compress(tokens)
    assert raw.stored_bytes is not None
    assert raw.stored_bytes < raw.features.nelement() * 2 + 200


def test_damage_is_found() -> None:
    data, _ = pack(coefficients((8, 4, 0)))
    for length in range(0, len(data), 11):
        with pytest.raises(BitstreamError):
            unpack(data[:length])
    for place in range(0, len(data), 5):
        damaged = bytearray(data)
        damaged[place] ^= 1 << place % 8
        with pytest.raises(BitstreamError):
            unpack(bytes(damaged))
    with pytest.raises(BitstreamError, match="follow"):
        unpack(data + b"\0")


def test_hostile_content_with_a_right_checksum_is_an_error_or_a_result() -> None:
    data, _ = pack(coefficients((8, 4, 0)))
    errors = 0
    for place in range(5, len(data) - 4, 3):
        damaged = bytearray(data[:-4])
        damaged[place] ^= 0x55
        whole = bytes(damaged) + zlib.crc32(damaged).to_bytes(4, "little")
        try:
            unpack(whole)
        except BitstreamError:
            errors += 1
    assert errors > 0
