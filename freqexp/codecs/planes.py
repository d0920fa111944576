"""Pages with three channels as gray pages."""

from __future__ import annotations

import numpy as np

from freqexp.nouns.page import Pixels


def planes_of(pixels: Pixels) -> Pixels:
    """Channels one below the other, [n * H, W]; equal ones only once."""
    if pixels.ndim == 2:
        return pixels
    if (pixels == pixels[:, :, :1]).all():
        return np.ascontiguousarray(pixels[:, :, 0])
    return np.ascontiguousarray(np.moveaxis(pixels, -1, 0)).reshape(-1, pixels.shape[1])


def restored_page(planes: Pixels, shape: tuple[int, ...]) -> Pixels:
    """Inverse of `planes_of`, for a page of this shape."""
    if len(shape) == 2:
        return planes
    apart = planes.reshape(-1, shape[0], shape[1])
    return np.ascontiguousarray(np.broadcast_to(np.moveaxis(apart, 0, -1), shape))
