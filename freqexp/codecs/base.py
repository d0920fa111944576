"""What every codec shares: one way from a page to its bytes and back."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from freqexp.codecs.numbers import OUTSIDE, codes
from freqexp.coding.bitstream import (
    Bitstream,
    BitstreamError,
    Cursor,
    size_fault,
    unpack,
    varint,
)
from freqexp.errors import UserError, fault
from freqexp.nouns.page import Pixels
from freqexp.outside.entries import CODECS, entries

COMPONENTS = ("header", "masks", "indices", "values", "scales", "codebook")
"""What stored bytes are counted as. header: container, parameters and checksum. masks: which
coefficients are kept. indices: of code words. values: what is kept, or a whole image file.
scales: tables of quantisers and entropy coders. codebook: a page's share of side data.
"""


@dataclass(frozen=True, eq=False)
class CodecResult:
    """A page after a codec.

    pixels: uint8, what the model will see; the shape of the input unless the codec says otherwise.
    nominal_ratio: input coefficients over kept coefficients, a count and never a storage figure.
    stored_bytes: length of the bitstream that was decoded again to `pixels`, and the page's share
        of side data; None without a bitstream.
    components: bytes by name (COMPONENTS), which sum to `stored_bytes`; empty without a bitstream.
    """

    pixels: Pixels
    nominal_ratio: float | None
    stored_bytes: int | None
    components: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Payload:
    """What a codec stores of one page; the container adds the page's shape and a checksum.

    parameters: what decoding needs to know besides. sections: in the order of `Codec.sections`.
    nominal_ratio: see `CodecResult`. shape: of the restored page; None: the shape of the input.
    """

    parameters: bytes
    sections: tuple[bytes, ...]
    nominal_ratio: float | None = None
    shape: tuple[int, ...] | None = None


class Codec(ABC):
    """Page image -> bytes -> page image. A codec is its `store` and its `restore`.

    simulated: True when nothing is stored at all, as in a study of coefficients.
    keeps_size: whether the restored page always has the input's shape.
    code: the number in the bitstream (`codes`); a codec from outside has none of its own.
    name: of one from outside, the option by which it is chosen: its bitstreams say it.
    sections: the component each section counts as.
    shared_bytes: a page's share of side data that is not in its bitstream, at the amortisation the
        codec states.
    """

    simulated: bool = False
    keeps_size: bool = True
    shared_bytes: int = 0
    code: ClassVar[int] = OUTSIDE
    name: ClassVar[str] = ""
    sections: ClassVar[tuple[str, ...]] = ("values",)

    @abstractmethod
    def store(self, pixels: Pixels) -> Payload:
        """What is stored of a checked page ([H, W] or [H, W, 3] uint8, C-contiguous)."""

    @classmethod
    @abstractmethod
    def restore(cls, stream: Bitstream) -> Pixels:
        """The page of a bitstream with this codec's code.

        `stream.shape` is the result's. The container is checked; parameters and sections are not,
        and may be hostile. Raises BitstreamError.
        """

    def compress(self, pixels: Pixels) -> CodecResult:
        """Encode one page ([H, W] or [H, W, 3] uint8) and decode its bytes again.

        Deterministic; the input is not changed.

        Raises:
            ValueError: `pixels` is empty, not uint8 or of another shape.
            UserError: the page is too large.
        """
        stream, nominal_ratio = self._stream(pixels)
        data = stream.pack()
        components = self.ledger(stream, len(data))
        return CodecResult(self.decode(data), nominal_ratio, sum(components.values()), components)

    def restored(self, pixels: Pixels) -> Pixels:
        """The pixels that `compress` gives. A codec whose bytes are coded without loss may leave
        that out here: for looking at many pages, never for a measurement. Raises as `compress`.
        """
        return self.compress(pixels).pixels

    def encode(self, pixels: Pixels) -> bytes:
        """The bitstream of one page; `decode` restores it. Raises as `compress`."""
        return self._stream(pixels)[0].pack()

    def decode(self, data: bytes) -> Pixels:
        """The page of a bitstream that `encode` wrote: what `decode` without a codec gives, but for
        one that needs more than the bytes. Raises BitstreamError.
        """
        if self.code != OUTSIDE:
            return decode(data)
        stream, name = unnamed(unpack(data))
        if name != self.name:
            raise BitstreamError(f"bitstream: written by {name!r}, this is {self.name!r}")
        check_sections(stream, type(self))
        return self.restore(stream)

    def ledger(self, stream: Bitstream, size_bytes: int) -> dict[str, int]:
        """Bytes by component of a bitstream of `size_bytes`, and of the share of side data."""
        counts = section_bytes(type(self), stream, size_bytes)
        if self.shared_bytes:
            counts["codebook"] = counts.get("codebook", 0) + self.shared_bytes
        return counts

    def _stream(self, pixels: Pixels) -> tuple[Bitstream, float | None]:
        check_page(pixels)
        payload = self.store(np.ascontiguousarray(pixels))
        assert len(payload.sections) == len(self.sections)
        shape = payload.shape or pixels.shape
        parameters = payload.parameters
        if self.code == OUTSIDE:
            if not self.name:
                allowed = "the option's name, which the bitstreams of a codec from outside say"
                raise ValueError(fault(f"{type(self).__name__}.name", "", allowed))
            written = self.name.encode()
            parameters = varint(len(written)) + written + parameters
        stream = Bitstream(self.code, shape, parameters, payload.sections)
        return stream, payload.nominal_ratio


def check_page(pixels: Pixels) -> None:
    """Raise ValueError when `pixels` is no page, UserError when it is too large for one."""
    shape = pixels.shape
    if pixels.dtype != np.uint8 or not (len(shape) == 2 or (len(shape) == 3 and shape[2] == 3)):
        allowed = "uint8 [H, W] or [H, W, 3]"
        raise ValueError(f"pixels: got {pixels.dtype} {list(shape)}, allowed: {allowed}")
    if pixels.size == 0:
        raise ValueError(f"pixels: got an empty page {list(shape)}, allowed: 1 pixel or more")
    fault = size_fault(shape)
    if fault:
        raise UserError(f"pixels: {fault}")


def codec_type(code: int) -> type[Codec]:
    """The codec with this number. Raises BitstreamError when there is none."""
    known = codes()
    if code not in known:
        raise BitstreamError(f"bitstream: codec {code}, this program knows 1 to {max(known)}")
    module, name = known[code].split(":")
    try:
        found = getattr(importlib.import_module(f"freqexp.codecs.{module}"), name)
    except ImportError as error:
        reason = f"{module} can't be loaded here ({error})"
        raise BitstreamError(f"bitstream: codec {code}, {reason}") from error
    assert isinstance(found, type)
    assert issubclass(found, Codec)
    return found


def decode(data: bytes) -> Pixels:
    """The page of a bitstream: uint8 [H, W] or [H, W, 3]. Needs nothing but `data`.

    Raises:
        BitstreamError: `data` is not exactly one intact bitstream, or names something that is not
            here: a codebook, a package, a program.
    """
    stream, chosen = taken_apart(data)
    return chosen.restore(stream)


def taken_apart(data: bytes) -> tuple[Bitstream, type[Codec]]:
    """A bitstream and the codec that wrote it. Raises BitstreamError for anything else."""
    stream = unpack(data)
    if stream.code == OUTSIDE:
        stream, name = unnamed(stream)
        chosen = outside_type(name)
    else:
        chosen = codec_type(stream.code)
    check_sections(stream, chosen)
    return stream, chosen


def check_sections(stream: Bitstream, chosen: type[Codec]) -> None:
    """Raise BitstreamError for another number of sections than the codec writes."""
    if len(stream.sections) != len(chosen.sections):
        found = f"{len(stream.sections)} sections, {chosen.__name__} has {len(chosen.sections)}"
        raise BitstreamError(f"bitstream: {found}")


def unnamed(stream: Bitstream) -> tuple[Bitstream, str]:
    """A bitstream of a codec from outside as the codec wrote it, and the codec's name.

    Raises BitstreamError for one of another codec.
    """
    cursor = Cursor(stream.parameters, "bitstream")
    try:
        name = cursor.block().decode() if stream.code == OUTSIDE else ""
    except UnicodeDecodeError as error:
        raise BitstreamError("bitstream: the codec's name is no text") from error
    if not name:
        raise BitstreamError(f"bitstream: codec {stream.code}, not one from outside with a name")
    return replace(stream, parameters=stream.parameters[cursor.at :]), name


def outside_type(name: str) -> type[Codec]:
    """The codec that an installed package offers by this name. Raises BitstreamError."""
    found = [entry for entry in entries(CODECS) if entry.name == name]
    if len(found) != 1:
        why = "no installed package has it" if not found else "several packages have it"
        raise BitstreamError(f"bitstream: written by the codec {name!r}; {why}")
    try:
        decoder = found[0].load().decoder()  # type: ignore[attr-defined]
    # Other people's code, with exceptions of every type.
    except Exception as error:
        why = f"{type(error).__name__}: {error}; {found[0].owner}"
        raise BitstreamError(f"bitstream: the codec {name!r} can't be loaded ({why})") from error
    if not isinstance(decoder, type) or not issubclass(decoder, Codec) or decoder.name != name:
        raise BitstreamError(f"bitstream: {name!r} of {found[0].owner} is no codec of that name")
    return decoder


def section_bytes(chosen: type[Codec], stream: Bitstream, size_bytes: int) -> dict[str, int]:
    """Bytes by component of a bitstream of `size_bytes`; what is in no section is header."""
    counts = {"header": size_bytes - sum(map(len, stream.sections))}
    for name, section in zip(chosen.sections, stream.sections, strict=True):
        counts[name] = counts.get(name, 0) + len(section)
    return counts
