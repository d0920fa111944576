"""Formats of two-level pages, as programs outside Python write and read them."""

from __future__ import annotations

import re
from abc import abstractmethod
from typing import ClassVar

import numpy as np

from freqexp.codecs.base import Codec, Payload
from freqexp.codecs.programs import ProgramError, missing
from freqexp.coding.bitstream import Bitstream, BitstreamError
from freqexp.errors import ConfigError, fault
from freqexp.nouns.page import Pixels

MEMORY_BYTES = 1 << 30
"""What a program may take to decode a page; the largest one has 2^25 pixels."""

_WHITE_FROM = 128
_PBM = re.compile(rb"P4\s+(\d{1,9})\s+(\d{1,9})\s")


class TwoLevelCodec(Codec):
    """A page at two levels, 0 and 255, of which the format loses nothing unless it is told to.

    A sample of 128 or more is white, which is `posterize` at two levels; of colour the luma counts,
    and the restored page is gray in all channels.

    programs: that the format needs, the encoder and the decoder. package: of Debian, with both.
    """

    programs: ClassVar[tuple[str, str]]
    package: ClassVar[str]

    def __init__(self) -> None:
        """Raises ConfigError where the programs are not installed."""
        faults = self.program_faults("compressor")
        if faults:
            raise ConfigError(faults)

    @classmethod
    def program_faults(cls, field: str) -> list[str]:
        """A fault that names the programs which are not on the PATH."""
        absent = missing(cls.programs)
        if not absent:
            return []
        needed = f"a method whose programs are installed ({' and '.join(absent)}: not found; "
        return [fault(field, cls.__name__.lower(), f"{needed}package {cls.package})")]

    def store(self, pixels: Pixels) -> Payload:
        """The coded page without what its size alone says. Raises ProgramError."""
        height, width = pixels.shape[:2]
        return Payload(b"", (self.write(write_pbm(pixels), height, width),))

    @classmethod
    def restore(cls, stream: Bitstream) -> Pixels:
        """The page of two levels."""
        if stream.parameters:
            raise BitstreamError(f"{cls.__name__}: parameters where none belong")
        height, width = stream.shape[:2]
        try:
            page = cls.read(stream.sections[0], height, width)
        except ProgramError as error:
            raise BitstreamError(f"{cls.__name__}: not decoded ({error})") from error
        gray = read_pbm(page, height, width)
        return gray if len(stream.shape) == 2 else np.repeat(gray[..., np.newaxis], 3, axis=2)

    @abstractmethod
    def write(self, page: bytes, height: int, width: int) -> bytes:
        """A PBM file coded. Raises ProgramError."""

    @classmethod
    @abstractmethod
    def read(cls, data: bytes, height: int, width: int) -> bytes:
        """The PBM file again. Raises ProgramError."""


def write_pbm(pixels: Pixels) -> bytes:
    """A page ([H, W] or [H, W, 3] uint8) at two levels as a PBM file (P4: a bit of 1 is black)."""
    from PIL import Image

    gray = pixels if pixels.ndim == 2 else np.array(Image.fromarray(pixels).convert("L"))
    height, width = gray.shape
    return b"P4\n%d %d\n" % (width, height) + np.packbits(gray < _WHITE_FROM, axis=1).tobytes()


def read_pbm(data: bytes, height: int, width: int) -> Pixels:
    """[height, width] uint8, 0 and 255, of a PBM file. Raises BitstreamError for anything else."""
    head = _PBM.match(data)
    if head is None:
        raise BitstreamError("PBM: not a file of this format")
    found = int(head[2]), int(head[1])
    row_bytes = -(-width // 8)
    if found != (height, width) or len(data) - head.end() != height * row_bytes:
        raise BitstreamError(
            f"PBM: {found[1]} x {found[0]} pixels, the page has {width} x {height}"
        )
    rows = np.frombuffer(data, np.uint8, offset=head.end()).reshape(height, row_bytes)
    return np.where(np.unpackbits(rows, axis=1, count=width), 0, 255).astype(np.uint8)
