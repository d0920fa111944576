"""A rendered page."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]

Lines = tuple[tuple[float, float], ...]
"""Where each line of a page's text is: its first row of pixels and the one after its last."""

LONGEST = 190
"""How many times as long as the other a side of a page may be. Image processors refuse a page above
200, as it is or after they enlarged it to whole pixels.
"""


@dataclass(frozen=True, eq=False)
class Page:
    """One page image and the text it shows.

    pixels: uint8, [height, width] gray (0 black, 255 white) or [height, width, 3] RGB.
    text: what was drawn on this page, lines joined by newlines.
    missing: the characters of its text that do not look as they should: the font has no picture of
        them, or they would have to be joined or turned round (Arabic, Hebrew, Hindi).
    lines: where those lines are, in their order; empty when the renderer does not say.
    """

    pixels: Pixels
    text: str
    lines: Lines = ()
    missing: str = ""


def scaled_lines(lines: Lines, scale: float) -> Lines:
    """The lines of a page that became `scale` times as high."""
    return tuple((top * scale, bottom * scale) for top, bottom in lines)


def png_size_bytes(pixels: Pixels) -> int:
    """Length in bytes of the optimised PNG of `pixels` ([H, W] or [H, W, 3] uint8)."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", optimize=True)
    return buffer.tell()
