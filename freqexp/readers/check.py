"""Whether vision tokens fit their grid and the model that is to read them."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from freqexp.errors import UserError
from freqexp.nouns.vision import CompressedTokens


def check_tokens(vision: Sequence[CompressedTokens], channels: int, deepstack: int) -> None:
    """Raises UserError, naming the page, unless every page has features [kept, channels], as many
    raster positions inside its grid, strictly increasing, and `deepstack` further features of the
    same shape.
    """
    if not vision:
        raise UserError("sample: got no pages, allowed: at least one")
    for number, page in enumerate(vision, start=1):
        wrong = _fault(page, channels, deepstack)
        if wrong is not None:
            raise UserError(f"page {number}: {wrong}")


def _fault(page: CompressedTokens, channels: int, deepstack: int) -> str | None:
    rows, columns = page.grid
    kept, shape = page.kept, tuple(page.features.shape)
    if rows < 1 or columns < 1 or kept.ndim != 1 or kept.dtype != torch.int64:
        return f"got grid {page.grid} and kept {kept.dtype} {tuple(kept.shape)}, allowed: int64 [n]"
    if shape != (len(kept), channels) or not len(kept):
        return f"got features {shape}, allowed: {(len(kept), channels)} for {len(kept)} kept tokens"
    inside = int(kept[0]) >= 0 and int(kept[-1]) < rows * columns
    if not inside or not bool((kept[1:] > kept[:-1]).all()):
        allowed = f"strictly increasing positions on its {rows} x {columns} grid"
        return f"got kept tokens from {int(kept[0])} to {int(kept[-1])}, allowed: {allowed}"
    shapes = [tuple(features.shape) for features in page.deepstack]
    if shapes != [shape] * deepstack:
        return f"got deep-stack features {shapes}, allowed: {deepstack} of {shape}"
    return None
