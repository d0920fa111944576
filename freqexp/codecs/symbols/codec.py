"""Text pages as symbols: shapes stored once, and where they stand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from freqexp.codecs import columns
from freqexp.codecs.base import Codec, Payload
from freqexp.codecs.levels import (
    evenly,
    grid_of,
    kept_in_sight,
    levels_asked,
    numbers_of,
    values_of,
)
from freqexp.codecs.lossless import read_file, thorough_file
from freqexp.codecs.planes import planes_of, restored_page
from freqexp.codecs.symbols.known import NAME_BYTES, NOTHING, Known, Prior
from freqexp.codecs.symbols.page import PageCode, cut, decode, encode
from freqexp.codecs.symbols.pictured import pictured, read_pictured
from freqexp.codecs.symbols.priors import bundled_priors, named_prior
from freqexp.coding.bitstream import Bitstream, BitstreamError, Cursor, varint
from freqexp.coding.share import page_share
from freqexp.errors import fault
from freqexp.nouns.page import Pixels

SYMBOLS, IMAGE, STRIPS, COPIES = range(4)

_MANY_NEW = 0.05
"""Pages of which more than this share is in shapes of their own are tried as pictures, too."""

_HELPS = 0.85
"""Pages that a prior makes smaller than this share are not tried as strips."""

_ALIKE = 0.3
"""Priors with less than this share of a page's columns at two levels are not tried."""


@dataclass(frozen=True)
class _Coded:
    """A page's code, the prior it needs, and the bytes that it counts with the prior's share."""

    code: PageCode
    prior: Prior | None
    counted: int

    def payload(self, levels: int, planes: int) -> Payload:
        """What is stored."""
        name = b"" if self.prior is None else self.prior.name
        head = b"".join(map(varint, (SYMBOLS, levels, planes, len(name)))) + name + self.code.head
        return Payload(head, (self.code.script, self.code.pictures))


class Symbols(Codec):
    """Shapes between blank columns, each stored once, their numbers by prediction from context.

    1. The page is rounded to evenly spaced gray levels, as `posterize` does (256: lossless), and to
       more of them, twice as many each time, while anything would vanish: a pixel that differs from
       the ground by `contrast` or more and has nothing within two pixels that is still shown.
    2. Text lines are cut between blank columns into shapes, letters mostly (see `segment`). As in
       JBIG2 and JB2, a shape that was there before is a number; unlike there, only equal ones are
       one, so that no letter ever becomes another.
    3. Numbers and gaps make a string, which PPMd (variant H) codes by what came before in the same
       context: letters follow each other as they do in words. New shapes are coded column by column
       by the same means, or by Brotli.
    4. prior: what a page of examples knows already, shapes and strings; the bitstream names it, and
       a page counts a hundredth of its file (`page_share`). It is used where it saves more.
    5. Where that is shorter, the levels are stored as `strips` does in place of all that, or, of a
       page that is no text, as an image file; or that page is stored as `block_copy` does, no
       farther off than the levels are (see `pictured`).

    Otherwise everything is lossless but the rounding.
    """

    code = 16
    sections = ("indices", "values")

    def __init__(
        self,
        keep_ratio: float = 0.5,
        levels: int | None = None,
        contrast: int = 48,
        priors: Sequence[Prior] | None = None,
    ) -> None:
        """keep_ratio, levels: as of `posterize`. priors: to choose from; None: the bundled ones.

        Raises ConfigError naming all values out of range.
        """
        fits = 1 <= contrast <= 255
        faults = [] if fits else [fault("contrast", contrast, "an integer from 1 to 255")]
        self._levels = levels_asked(keep_ratio, levels, *faults)
        self._contrast = contrast
        self._priors = bundled_priors() if priors is None else tuple(priors)

    def store(self, pixels: Pixels) -> Payload:
        """Way, levels, planes and the prior's name; script and shapes, or nothing and strips or a
        file, or copies and what they leave.
        """
        planes = planes_of(pixels)
        asked, seen = self._levels_for(planes), planes
        planes = evenly(planes, asked)
        levels, count = grid_of(planes), len(planes) // pixels.shape[0]
        page = numbers_of(levels)[planes]
        coded = self._coded(page, planes, levels)
        best = min(coded, key=lambda one: one.counted, default=None)
        found = [] if best is None else [(best.counted, best.payload(levels, count))]
        saved = best is not None and best.counted < _HELPS * coded[0].counted
        if page.size <= columns.MOST_PIXELS and not saved:
            head, data = columns.write(page, levels, count, columns.bits_of(levels))
            found.append((len(head) + len(data), Payload(varint(STRIPS) + head, (b"", data))))
        if best is None or best.code.new_pixels > _MANY_NEW * page.size:
            index, data = thorough_file(evenly(pixels, levels))
            found.append((len(data), Payload(varint(IMAGE) + varint(index), (b"", data))))
            least = min(size for size, _ in found)
            copies = pictured(seen, asked, self._contrast, count)
            if copies is not None and len(copies) < least:
                return Payload(varint(COPIES) + copies.head, copies.sections)
        return min(found, key=lambda one: one[0])[1]

    def _levels_for(self, planes: Pixels) -> int:
        """As many as are asked for, or more, so that nothing vanishes."""
        levels = self._levels
        while not kept_in_sight(planes, levels, self._contrast):
            levels = min(2 * levels, 256)
        return levels

    def _coded(self, page: Pixels, planes: Pixels, levels: int) -> list[_Coded]:
        """Without a prior, then with each that may help; those that can be coded."""
        numbers = numbers_of(levels)
        cells = cut(page)
        found = []
        for known, share, prior in [(NOTHING, 0, None), *self._alike(planes, numbers)]:
            try:
                code = encode(cells, levels - 1, known)
            except OverflowError:
                continue
            found.append(_Coded(code, prior, len(code) + share))
        return found

    def _alike(self, planes: Pixels, numbers: Pixels) -> Iterator[tuple[Known, int, Prior | None]]:
        """What priors of the same letters know, and what a page counts for each."""
        lines = cut(numbers_of(2)[planes]).lines if self._priors else []
        shapes = [cell.shape for line in lines for cell in line]
        columns = sum(shape.width for shape in shapes)
        for prior in self._priors:
            alike = sum(shape.width for shape in shapes if shape in prior.sample)
            if alike > _ALIKE * columns:
                share = page_share(prior.size_bytes) + NAME_BYTES
                yield prior.known(numbers.tobytes()), share, prior

    def ledger(self, stream: Bitstream, size_bytes: int) -> dict[str, int]:
        """See `Codec`; with the share of the prior that the bitstream names."""
        counts = super().ledger(stream, size_bytes)
        name = _name_of(stream)
        if name:
            counts["codebook"] = page_share(self._named(name).size_bytes)
        return counts

    def _named(self, name: bytes) -> Prior:
        return next(prior for prior in self._priors if prior.name == name)

    @classmethod
    def restore(cls, stream: Bitstream) -> Pixels:
        """The page of script and shapes, of copied blocks, of strips, or of the file."""
        cursor = Cursor(stream.parameters, "symbols")
        way = cursor.varint()
        if way in (IMAGE, STRIPS) and stream.sections[0]:
            raise BitstreamError("symbols: a script where there are no symbols")
        if way == COPIES:
            head = cursor.take(len(stream.parameters) - cursor.at)
            page = read_pictured(head, stream.sections, stream.shape)
            return restored_page(page, stream.shape)
        if way == STRIPS:
            head = cursor.take(len(stream.parameters) - cursor.at)
            page, levels = columns.read(head, stream.sections[1], stream.shape)
            return restored_page(values_of(levels)[page], stream.shape)
        if way == IMAGE:
            index = cursor.varint()
            cursor.end()
            return read_file(index, stream.sections[1], stream.shape)
        levels, planes, length = (cursor.varint() for _ in range(3))
        if way != SYMBOLS or not 2 <= levels <= 256 or length not in (0, NAME_BYTES):
            raise BitstreamError(f"symbols: way {way}, {levels} levels")
        if planes not in ((1,) if len(stream.shape) == 2 else (1, 3)):
            raise BitstreamError(f"symbols: {planes} planes")
        name = cursor.take(length)
        head = cursor.take(len(stream.parameters) - cursor.at)
        known = named_prior(name).known(numbers_of(levels).tobytes()) if name else NOTHING
        script, pictures = stream.sections
        shape = (planes * stream.shape[0], stream.shape[1])
        page = decode(PageCode(head, script, pictures), shape, levels - 1, known)
        return restored_page(values_of(levels)[page], stream.shape)


def _name_of(stream: Bitstream) -> bytes:
    cursor = Cursor(stream.parameters, "symbols")
    if cursor.varint() != SYMBOLS:
        return b""
    cursor.varint()
    cursor.varint()
    return cursor.block()
