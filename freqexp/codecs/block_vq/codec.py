"""Vector quantisation of text pages: a codebook of frequency-weighted blocks, and a residual."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from freqexp.codecs.base import Codec, Payload
from freqexp.codecs.block_vq.codebook import (
    HASH_BYTES,
    Codebook,
    Group,
    Word,
    bundled_codebook,
    named_codebook,
    pack_ink,
    unpack_ink,
)
from freqexp.codecs.block_vq.parse import Parsed, parse_page, render_lines
from freqexp.codecs.block_vq.symbols import decode_lines, encode_lines, flat_odds
from freqexp.codecs.planes import planes_of, restored_page
from freqexp.coding.bitstream import Bitstream, BitstreamError, Cursor, varint
from freqexp.coding.integer_dct import MAX_STEP, Ints, differences, forward, highest_level
from freqexp.coding.levels import CodedLevels, decode_levels, encode_levels
from freqexp.coding.share import page_share
from freqexp.errors import ConfigError, fault
from freqexp.nouns.page import Pixels

BLOCKS = (8, 14, 16, 28)


class BlockVq(Codec):
    """Code words of a codebook on the page's text lines, then the DCT of what they leave.

    1. Lines and, on each, blocks of the text's own widths and heights are matched with the code
       words of the codebook by their weighted DCT coefficients (see `block_vq_match`). A block that
       is near no code word becomes one of the page's own, which the bitstream holds.
    2. Their indices and places are entropy coded in context (see `block_vq_symbols`).
    3. What page and code words differ by goes through a block DCT of `block` pixels and a
       quantiser, and is coded as `block_dct` codes its levels. Its step falls geometrically with
       keep_ratio, step = 255^(1 - keep_ratio): the code words cost the same at every keep_ratio,
       and the residual adds to them. Text that the codebook fits has next to none at small ones,
       pictures are all residual.

    The codebook is not in the bitstream but named by its hash; a page counts a hundredth of its
    bytes (`page_share`). codebook=False: every code word is the page's own.
    """

    code = 11
    sections = ("indices", "values", "masks", "values", "scales")

    def __init__(
        self,
        keep_ratio: float = 0.3,
        block: int = 16,
        codebook: bool = True,
    ) -> None:
        """Check and keep the settings. Raises ConfigError naming all values out of range."""
        faults = []
        if not 0 < keep_ratio <= 1:
            faults.append(fault("keep_ratio", keep_ratio, "above 0, at most 1"))
        if block not in BLOCKS:
            faults.append(fault("block", block, ", ".join(map(str, BLOCKS))))
        if faults:
            raise ConfigError(faults)
        self._step = max(1, math.floor(MAX_STEP ** (1 - keep_ratio) + 0.5))
        self._block = block
        self._codebook = bundled_codebook() if codebook else None
        self.shared_bytes = page_share(self._codebook.size_bytes) if self._codebook else 0

    def store(self, pixels: Pixels) -> Payload:
        """Codebook, group, block and step; indices, own code words, and the residual's levels."""
        planes = planes_of(pixels)
        parsed = parse_page(255 - planes.astype(np.float32), self._codebook)
        group, odds = _known(self._codebook, parsed.group)
        shared = len(group.words) if group else 0
        own = parsed.words[shared:]
        name = b"" if self._codebook is None or parsed.group is None else self._codebook.name
        numbers = [self._block, self._step, len(planes) // pixels.shape[0]]
        numbers += [0 if parsed.group is None else parsed.group, len(own)]
        coded = encode_levels(self._levels(planes, parsed))
        head = b"".join(map(varint, [*numbers, coded.smallest, len(name)])) + name
        return Payload(
            head,
            (
                encode_lines(parsed.lines, parsed.words, group, odds),
                _pack_words(own),
                coded.masks,
                coded.values,
                coded.scales,
            ),
        )

    def _levels(self, planes: Pixels, parsed: Parsed) -> Ints:
        shape = (planes.shape[0], planes.shape[1])
        words = render_lines(parsed.lines, parsed.words, shape)
        difference = planes.astype(np.int16) - words
        return forward(_padded(difference, self._block), self._block, self._step)

    @classmethod
    def restore(cls, stream: Bitstream) -> Pixels:
        """The page of the code words and the residual."""
        cursor = Cursor(stream.parameters, "block_vq")
        block, step, planes, number, count, smallest = (cursor.varint() for _ in range(6))
        name = cursor.block()
        cursor.end()
        wrong = block not in BLOCKS or not 1 <= step <= MAX_STEP
        if wrong or planes not in ((1,) if len(stream.shape) == 2 else (1, 3)):
            raise BitstreamError(f"block_vq: block {block}, step {step}, {planes} planes")
        if len(name) not in (0, HASH_BYTES) or (number and not name):
            raise BitstreamError("block_vq: not the name of a codebook")
        codebook = named_codebook(name) if name else None
        if codebook and number >= len(codebook.groups):
            raise BitstreamError(f"block_vq: group {number}, the codebook has fewer")
        group, odds = _known(codebook, number if codebook else None)
        indices, own, *levels = stream.sections
        words = (*(group.words if group else ()), *_unpack_words(own, count))
        lines = decode_lines(indices, words, group, odds)
        shape = (planes * stream.shape[0], stream.shape[1])
        page = render_lines(lines, words, shape)
        page = _add_residual(page, block, step, CodedLevels(smallest, *levels))
        return restored_page(page, stream.shape)


def _known(
    codebook: Codebook | None, number: int | None
) -> tuple[Group | None, npt.NDArray[np.int64]]:
    if codebook is None or number is None:
        return None, flat_odds()
    return codebook.groups[number], codebook.odds


def _add_residual(page: Pixels, block: int, step: int, coded: CodedLevels) -> Pixels:
    height, width = page.shape
    rows, columns = -(-height // block), -(-width // block)
    shape = (rows, block, columns, block)
    levels = decode_levels(coded, shape, highest_level(block, step))
    residual = differences(levels, step)[:height, :width]
    whole: Pixels = np.clip(page + residual, 0, 255).astype(np.uint8)
    return whole


def _padded(values: npt.NDArray[np.int16], block: int) -> npt.NDArray[np.int16]:
    sides = ((0, -values.shape[0] % block), (0, -values.shape[1] % block))
    return np.pad(values, sides, mode="edge")


def _pack_words(words: tuple[Word, ...]) -> bytes:
    """Sizes and tops, Brotli-coded, then the pictures."""
    import brotli

    if not words:
        return b""
    table = np.array([[*w.ink.shape, w.top + 128] for w in words], dtype=np.uint8).T.tobytes()
    packed = bytes(brotli.compress(table, lgwin=16))
    return varint(len(packed)) + packed + pack_ink([word.ink for word in words])


def _unpack_words(data: bytes, count: int) -> list[Word]:
    import brotli

    cursor = Cursor(data, "block_vq")
    if not count:
        cursor.end()
        return []
    packed = cursor.block()
    if count > 4096 or len(packed) > 3 * count + 64:
        raise BitstreamError(f"block_vq: {count} code words, or their table is too long")
    try:
        table = brotli.decompress(packed)
    except brotli.error as error:
        raise BitstreamError(f"block_vq: {error}") from error
    if len(table) != 3 * count:
        raise BitstreamError("block_vq: the table of code words has a wrong length")
    rows = np.frombuffer(table, dtype=np.uint8).reshape(3, count).T.tolist()
    pictures = unpack_ink(cursor.take(len(data) - cursor.at), [(h, w) for h, w, _ in rows], "words")
    return [Word(ink, row[2] - 128) for ink, row in zip(pictures, rows, strict=True)]
