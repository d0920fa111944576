"""How many of something stay, and what a page counts of something that many pages share."""

from __future__ import annotations

import math

from freqexp.errors import fault

PAGES = 100
"""A codebook is shared by so many pages when its bytes are counted."""


def check_keep_ratio(keep_ratio: float) -> list[str]:
    """One line when the share kept is outside (0, 1]."""
    return [] if 0 < keep_ratio <= 1 else [fault("keep_ratio", keep_ratio, "above 0, at most 1")]


def kept_count(size: int, keep_ratio: float) -> int:
    """How many of `size` stay: floor(keep_ratio size + 0.5), at least 1."""
    return max(1, math.floor(keep_ratio * size + 0.5))


def page_share(size_bytes: int) -> int:
    """Bytes that a page counts of a codebook: ceil(size_bytes / PAGES)."""
    return -(-size_bytes // PAGES)
