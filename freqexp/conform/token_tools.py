"""What the checks of token compressors share."""

from __future__ import annotations

import torch

from freqexp.conform.expect import expect
from freqexp.conform.inputs import CHANNELS
from freqexp.nouns.vision import CompressedTokens
from freqexp.tokens.base import TokenCompressor


def same_tokens(one: CompressedTokens, other: CompressedTokens) -> bool:
    """Whether two results are one."""
    same_counts = (one.nominal_ratio, one.stored_bytes) == (other.nominal_ratio, other.stored_bytes)
    same_places = torch.equal(one.kept, other.kept) and one.grid == other.grid
    return same_counts and same_places and torch.equal(one.features, other.features)


def check_count(compressor: TokenCompressor, kept: int, wanted: int, at: str) -> None:
    """Whether as many tokens stay as the compressor's word for it allows."""
    if compressor.adaptive:
        return
    right = kept == wanted if compressor.fills_budget else 1 <= kept <= wanted
    expect(right, f"{at}{kept} tokens stay, allowed: {wanted}")


def check_places(result: CompressedTokens, size: int, at: str) -> None:
    """Whether the places are int64, in raster order, on the grid, one a token."""
    kept, places = result.kept, result.kept.tolist()
    expect(kept.dtype == torch.int64, f"{at}`kept` is {kept.dtype}, allowed: int64")
    expect(places == sorted(set(places)), f"{at}`kept` is not in raster order: {places[:20]}")
    expect(places and places[0] >= 0 and places[-1] < size, f"{at}`kept` leaves the grid")
    shape = tuple(result.features.shape)
    expect(shape == (len(places), CHANNELS), f"{at}features have shape {shape}")
