"""The first door: an encoder and a decoder that are programs of the user's."""

from __future__ import annotations

import os

from freqexp.codecs.external.pictures import read_picture, write_picture
from freqexp.codecs.external.process import Program
from freqexp.codecs.external.settings import FIELD, ExternalSettings, key_of, with_files
from freqexp.coding.bitstream import varint
from freqexp.coding.share import page_share
from freqexp.nouns.page import Pixels

TAG_BYTES = 4
"""So much of the SHA-256 of the settings stands in a bitstream."""


class Commands:
    """Two programs with the settings they are called with.

    key: names what bytes and pixels depend on. parameters: of a bitstream. shared_bytes: a page's
    share of the side files. fields: what faults call each way, and what stands there.
    """

    def __init__(self, settings: ExternalSettings) -> None:
        """Raises UserError when a file can't be read."""
        self.key = key_of(settings.identity())
        self.parameters = parameters(b"", self.key[:TAG_BYTES])
        self.shared_bytes = page_share(sum(map(_size, settings.files)))
        self._settings = settings
        given, suffix = settings, settings.suffix
        self._encode = _program("encode", given.encode, given, (f".{given.input_format}", suffix))
        self._decode = _program("decode", given.decode, given, (suffix, f".{given.output_format}"))
        self.fields = {
            "encode": (self._encode.field, self._encode.shown),
            "decode": (self._decode.field, self._decode.shown),
        }

    def write(self, pixels: Pixels, again: bool = False) -> bytes:
        """What the encoder writes of a page. Raises UserError, see `Program`."""
        given = self._settings
        return self._encode(write_picture(pixels, given.input_format, given.threshold))

    def read(self, data: bytes, shape: tuple[int, ...], again: bool = False) -> Pixels:
        """The decoder's page of `shape`. Raises UserError, see `Program` and `read_picture`."""
        picture = self._settings.output_format
        written = self._decode(data)
        try:
            return read_picture(written, picture, shape)
        except ValueError as error:
            allowed = f"a program whose {{output}} is the page as {picture}"
            raise self._decode.refused(allowed, str(error)) from error


def parameters(entry: bytes, tag: bytes) -> bytes:
    """Of a bitstream: the name of an entry point, empty for commands, and which version of it or
    which settings wrote it.
    """
    return varint(len(entry)) + entry + varint(len(tag)) + tag


def _program(
    name: str, command: tuple[str, ...], settings: ExternalSettings, suffixes: tuple[str, str]
) -> Program:
    return Program(
        field=f"{FIELD}{name}",
        shown=" ".join(command),
        words=tuple(with_files(command, os.path.expanduser)),
        timeout=settings.timeout,
        suffixes=suffixes,
        quality=settings.quality,
    )


def _size(path: str) -> int:
    return os.stat(os.path.expanduser(path)).st_size
