"""Block DCT with one magnitude threshold: the paper's image-level method, with its bytes."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from freqexp.codecs.base import Codec, CodecResult, Payload, check_page
from freqexp.coding.bitstream import Bitstream, BitstreamError, Cursor, varint
from freqexp.coding.integer_dct import MAX_BLOCK, MAX_STEP, Ints, forward, highest_level, inverse
from freqexp.coding.levels import CodedLevels, decode_levels, encode_levels
from freqexp.errors import ConfigError, fault
from freqexp.nouns.page import Pixels


class BlockDct(Codec):
    """Keep the largest block-DCT coefficients of a page (the paper's Algorithm 1, "Method 1").

    2-D DCT-II of every block x block tile; a coefficient stays when its magnitude reaches
    tau = percentile(|C|, 100 (1 - keep_ratio)), or when it is a block's DC; inverse DCT; clip to
    [0, 255]; round to the nearest integer. RGB pages are transformed channel by channel and share
    one threshold.

    bitstream=True: coefficients are quantised, q = round(C / step), and the kept ones are entropy
        coded. The K = 1 + floor(keep_ratio (N - 1)) largest |q| stay, the DCs first; of equal ones
        those of the earlier position in their block, then of the earlier block. The transform is
        exact in integers (see `integer_dct`), so a page has one bitstream and one reconstruction.
    bitstream=False: the paper's study of coefficients, without quantiser and bytes (`simulated`;
        see `block_dct_exact`).

    Pages whose sides are no multiple of `block`:
        fit="pad": the last row and column are repeated, and the result is cropped back.
        fit="resize": the paper's: the page is resized (bicubic) down to the next multiple, at
            least one block, and stays at that size.
    The paper's program drops the fraction of the restored pixels. Algorithm 1 does not ask for
    that, it darkens the page by half a grey level on average, and makes 254 out of a 255 that came
    back as 254.999...; so both fits round to nearest, halves up.
    """

    code = 1
    sections = ("masks", "values", "scales")

    def __init__(
        self,
        block: int = 14,
        keep_ratio: float = 0.5,
        threshold: str = "image",
        fit: str = "pad",
        step: int = 1,
        bitstream: bool = True,
    ) -> None:
        """Check and keep the settings.

        block: side of a block in pixels. keep_ratio: share of the coefficients kept, in (0, 1].
        threshold: "image" or "block", what shares one tau. fit: "pad" or "resize". step: of the
        quantiser, in units of a gray level.

        Raises:
            ConfigError: a value is outside what is allowed; names all such values.
        """
        faults = []
        if not 1 <= block <= MAX_BLOCK:
            faults.append(fault("block", block, f"1 to {MAX_BLOCK}"))
        if not 0 < keep_ratio <= 1:
            faults.append(fault("keep_ratio", keep_ratio, "above 0, at most 1"))
        if threshold not in ("image", "block"):
            faults.append(fault("threshold", threshold, "image, block"))
        if fit not in ("pad", "resize"):
            faults.append(fault("fit", fit, "pad, resize"))
        if not 1 <= step <= MAX_STEP:
            faults.append(fault("step", step, f"1 to {MAX_STEP}"))
        if faults:
            raise ConfigError(faults)
        self._block = block
        self._keep_ratio = keep_ratio
        self._per_block = threshold == "block"
        self._resizes = fit == "resize"
        self._step = step
        self.simulated = not bitstream
        self.keeps_size = not self._resizes

    def compress(self, pixels: Pixels) -> CodecResult:
        """See `Codec`. `nominal_ratio` is coefficients over kept coefficients of the padded or
        resized page.
        """
        if not self.simulated:
            return super().compress(pixels)
        from freqexp.codecs.block_dct_exact import threshold_page

        check_page(pixels)
        fitted = self._fitted(pixels)
        planes = _planes(fitted, self._block)
        height, width = planes.shape[1:]
        restored, ratio = threshold_page(planes, self._block, self._keep_ratio, self._per_block)
        page = _page(restored.reshape(-1, width), height, fitted.shape)
        return CodecResult(page, nominal_ratio=ratio, stored_bytes=None)

    def restored(self, pixels: Pixels) -> Pixels:
        """See `Codec`. Without the entropy coder, which takes most of the time."""
        if self.simulated:
            return super().restored(pixels)
        check_page(pixels)
        fitted = self._fitted(pixels)
        return page_of_levels(self.kept_levels(fitted)[0], self._step, fitted.shape)

    def store(self, pixels: Pixels) -> Payload:
        """Block, step and smallest kept level, then the coded levels."""
        fitted = self._fitted(pixels)
        levels, ratio = self.kept_levels(fitted)
        coded = encode_levels(levels)
        return Payload(
            b"".join(map(varint, (self._block, self._step, coded.smallest))),
            (coded.masks, coded.values, coded.scales),
            nominal_ratio=ratio,
            shape=fitted.shape,
        )

    def kept_levels(self, pixels: Pixels) -> tuple[Ints, float]:
        """Everything before the entropy coder: kept levels, and coefficients over kept ones.

        Levels as `integer_dct.forward` gives them, the planes of a page one below the other.
        """
        planes = _planes(pixels, self._block)
        levels = forward(planes.reshape(-1, planes.shape[2]), self._block, self._step)
        select = keep_largest_of_blocks if self._per_block else keep_largest
        return levels, levels.size / select(levels, self._keep_ratio)

    @classmethod
    def restore(cls, stream: Bitstream) -> Pixels:
        """The page of the coded levels."""
        cursor = Cursor(stream.parameters, "block_dct")
        block, step, smallest = (cursor.varint() for _ in range(3))
        cursor.end()
        if not 1 <= block <= MAX_BLOCK or not 1 <= step <= MAX_STEP:
            raise BitstreamError(f"block_dct: block {block}, step {step}")
        height, width = (-(-side // block) for side in stream.shape[:2])
        channels = 1 if len(stream.shape) == 2 else 3
        shape = (channels * height, block, width, block)
        coded = CodedLevels(smallest, *stream.sections)
        return page_of_levels(
            decode_levels(coded, shape, highest_level(block, step)), step, stream.shape
        )

    def _fitted(self, pixels: Pixels) -> Pixels:
        """The page as it is, or resized to multiples of the block."""
        height, width = pixels.shape[:2]
        size = [max(side // self._block, 1) * self._block for side in (width, height)]
        if not self._resizes or size == [width, height]:
            return pixels
        from PIL import Image

        image = Image.fromarray(pixels)
        return np.asarray(image.resize((size[0], size[1]), Image.Resampling.BICUBIC))


def page_of_levels(levels: Ints, step: int, shape: tuple[int, ...]) -> Pixels:
    """Everything behind the entropy decoder: the page of `shape`."""
    planes = len(levels) if len(shape) == 2 else len(levels) // 3
    return _page(inverse(levels, step), planes * levels.shape[1], shape)


def keep_largest(levels: Ints, keep_ratio: float) -> int:
    """Set all but the K largest levels of a page to 0, in place; returns K.

    levels: as `integer_dct.forward` gives them. K and ties: see `BlockDct`.
    """
    dc = levels[:, 0, :, 0].copy()
    count = max(_kept_count(levels.size, keep_ratio), dc.size)
    # The DCs stay in any case, so the others compete for what is left.
    levels[:, 0, :, 0] = 0
    rest = count - dc.size
    magnitude = np.abs(levels)
    mask = np.empty(levels.shape, dtype=np.bool_)

    def reaching(pivot: int) -> int:
        return int(np.count_nonzero(np.greater_equal(magnitude, pivot, out=mask)))

    # The pivot is the largest magnitude that so many levels reach: some dozen counts, each a
    # fraction of what a sort or a histogram takes.
    pivot, too_large = 0, int(magnitude.max()) + 1
    while too_large - pivot > 1:
        middle = (pivot + too_large) // 2
        pivot, too_large = (middle, too_large) if reaching(middle) >= rest else (pivot, middle)
    if pivot:
        surplus = reaching(pivot) - rest
        levels *= mask
        if surplus:
            tied = np.flatnonzero(np.equal(magnitude, pivot, out=mask))
            late = np.argsort(_position(tied, levels.shape), kind="stable")[-surplus:]
            levels.reshape(-1)[tied[late]] = 0
    levels[:, 0, :, 0] = dc
    return count


def keep_largest_of_blocks(levels: Ints, keep_ratio: float) -> int:
    """As `keep_largest`, but with K levels in every block; returns their sum."""
    rows, block, columns, _ = levels.shape
    size = block * block
    count = _kept_count(size, keep_ratio)
    by_block = np.abs(levels).transpose(0, 2, 1, 3).reshape(-1, size)
    key = by_block.astype(np.int32) * size + np.arange(size - 1, -1, -1, dtype=np.int32)
    key[:, 0] = np.iinfo(np.int32).max
    pivot = np.partition(key, size - count, axis=1)[:, size - count, np.newaxis]
    kept = (key >= pivot).reshape(rows, columns, block, block)
    levels *= kept.transpose(0, 2, 1, 3)
    return count * len(key)


def _kept_count(size: int, keep_ratio: float) -> int:
    # The guard keeps e.g. 0.3 * 10 = 2.9999999999999996 from losing a coefficient.
    return 1 + math.floor(keep_ratio * (size - 1) + 1e-9)


def _position(index: npt.NDArray[np.int64], shape: tuple[int, ...]) -> npt.NDArray[np.int16]:
    """Raster position inside its block of each flat index into levels of `shape`."""
    _, block, columns, _ = shape
    row = index // (block * columns) % block
    return (row * block + index % block).astype(np.int16)


def _planes(pixels: Pixels, block: int) -> Pixels:
    """The channels of a page, edges repeated up to multiples of the block: [planes, H, W]."""
    height, width = pixels.shape[:2]
    sides = ((0, -height % block), (0, -width % block), (0, 0))
    padded = np.pad(pixels, sides[: pixels.ndim], mode="edge")
    if padded.ndim == 2:
        return padded[np.newaxis]
    return np.ascontiguousarray(np.moveaxis(padded, -1, 0))


def _page(planes: Pixels, height: int, shape: tuple[int, ...]) -> Pixels:
    """Planes of `height` rows, one below the other, as a page cropped to `shape`."""
    stacked = planes.reshape(-1, height, planes.shape[1])[:, : shape[0], : shape[1]]
    page = stacked[0] if len(shape) == 2 else np.moveaxis(stacked, 0, -1)
    return np.ascontiguousarray(page)
