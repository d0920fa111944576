"""Pages as copied blocks, and the block DCT of what they leave."""

from __future__ import annotations

import math

from freqexp.codecs.base import Codec, Payload
from freqexp.codecs.block_copy.page import Copier, read
from freqexp.codecs.planes import planes_of, restored_page
from freqexp.coding.bitstream import Bitstream
from freqexp.coding.integer_dct import MAX_STEP
from freqexp.errors import ConfigError, fault
from freqexp.nouns.page import Pixels


class BlockCopy(Codec):
    """Blocks copied from before on the same page, then the DCT of what they leave.

    1. A block of 8 x 8 pixels is predicted by its border, or copied from a place before it whose
       pixels are much like its own, as intra block copy of HEVC's and AV1's tools for screen
       content does: letters come again, also blurred, turned and on paper. Places may begin at any
       pixel, and neighbours are copied from as far away where that is as good.
    2. What is left goes through a block DCT and a quantiser, as in `block_dct`, and the levels are
       coded as there; a coefficient below 0.7 steps is dropped.
    3. Prediction, place and levels of a block are those that cost least, tried on what a decoder
       has by then.

    No block's root mean square error is above half a step and half a gray level.

    It is made for scanned and photographed pages. Letters that are the same to a pixel are
    `symbols`' business, which takes this way for pages that have none.
    """

    code = 18
    sections = ("indices", "masks", "values", "scales", "masks", "values", "scales")

    def __init__(self, keep_ratio: float = 0.5, step: int | None = None) -> None:
        """step: of the quantiser, in gray levels, 1 to 255; None: 255^(1 - keep_ratio).

        Raises ConfigError naming all values out of range.
        """
        faults = []
        if not 0 < keep_ratio <= 1:
            faults.append(fault("keep_ratio", keep_ratio, "above 0, at most 1"))
        if step is not None and not 1 <= step <= MAX_STEP:
            faults.append(fault("step", step, f"1 to {MAX_STEP}"))
        if faults:
            raise ConfigError(faults)
        of_ratio = max(1, math.floor(MAX_STEP ** (1 - keep_ratio) + 0.5))
        self._step = of_ratio if step is None else step

    def store(self, pixels: Pixels) -> Payload:
        """Step, planes and the smallest kept levels; copies, then levels of both kinds."""
        planes = planes_of(pixels)
        head, sections = Copier(planes, len(planes) // pixels.shape[0]).write(self._step)
        return Payload(head, sections)

    @classmethod
    def restore(cls, stream: Bitstream) -> Pixels:
        """The page of copies and levels."""
        page = read(stream.parameters, stream.sections, stream.shape)
        return restored_page(page, stream.shape)
