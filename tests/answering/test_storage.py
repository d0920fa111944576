from __future__ import annotations

import torch

from freqexp.answering.storage import kept_bitmaps
from freqexp.nouns.vision import CompressedTokens


def page(kept: list[int], grid: tuple[int, int]) -> CompressedTokens:
    return CompressedTokens(torch.zeros(len(kept), 1), torch.tensor(kept), grid)


def test_kept_tokens_are_a_bitmap_in_raster_order() -> None:
    assert kept_bitmaps([page([0, 2], (2, 2)), page([0, 1, 2, 3], (2, 2))]) == "2x2:a 2x2:f"
    # Seven positions fill two digits; the eighth bit is padding.
    assert kept_bitmaps([page([0, 6], (1, 7))]) == "1x7:82"
    assert kept_bitmaps([page([11], (3, 4))]) == "3x4:001"


def test_nothing_is_noted_when_all_tokens_remain() -> None:
    assert kept_bitmaps([page([0, 1, 2, 3, 4, 5], (2, 3))]) is None
    assert kept_bitmaps([]) is None
