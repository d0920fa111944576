"""Other people's codecs, counted and checked as ours are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from freqexp.codecs.base import Codec, Payload, taken_apart
from freqexp.codecs.external import plugins
from freqexp.codecs.external.commands import Commands, parameters
from freqexp.codecs.external.settings import ExternalSettings, key_of
from freqexp.coding.bitstream import Bitstream, BitstreamError, Cursor
from freqexp.coding.share import page_share
from freqexp.errors import ConfigError, UserError, fault
from freqexp.nouns.page import Pixels

_same_again: dict[tuple[str, bytes], str | None] = {}
"""For each way (encode, decode) and key that this process has tried twice: the fault it has."""


class Door(Protocol):
    """Where a codec comes in, see `Commands`. again: of the same in a fresh process."""

    key: bytes
    parameters: bytes
    shared_bytes: int
    fields: dict[str, tuple[str, str]]

    def write(self, pixels: Pixels, again: bool = False) -> bytes:
        """The codec's bytes of a page. Raises UserError."""

    def read(self, data: bytes, shape: tuple[int, ...], again: bool = False) -> Pixels:
        """The page of `shape` of these bytes. Raises UserError."""


class Plugin:
    """The second door: an entry point of an installed package, called in this process."""

    def __init__(self, name: str, timeout: float) -> None:
        """timeout: of the second call, in another process. Raises UserError, see `loaded`."""
        found = plugins.loaded(name)
        self.key = key_of(found.identity)
        self.parameters = parameters(name.encode(), found.version.encode())
        self.shared_bytes = page_share(found.side_bytes)
        self.fields = dict.fromkeys(("encode", "decode"), (plugins.FIELD, name))
        self._name = name
        self._timeout = timeout

    def write(self, pixels: Pixels, again: bool = False) -> bytes:
        """See `Door`."""
        if again:
            return plugins.elsewhere(self._name, "encode", self._timeout)(plugins.to_npy(pixels))
        return plugins.encoded(self._name, pixels)

    def read(self, data: bytes, shape: tuple[int, ...], again: bool = False) -> Pixels:
        """See `Door`."""
        if again:
            return plugins.from_npy(plugins.elsewhere(self._name, "decode", self._timeout)(data))
        return plugins.decoded(self._name, data, shape)


class External(Codec):
    """A page as the bytes of a codec from elsewhere: two commands, or an entry point.

    The bytes are a section of our container, so they are counted and checked as all others, and a
    page counts a hundredth of the codec's side data. The container names who can decode it: an
    entry point and its version, or, by the first bytes of their SHA-256, settings with commands.
    A bitstream must not name programs to start, so `restore` decodes what an installed package
    wrote and refuses the rest; `decode`, which has the commands, decodes both.

    The first page of a process is encoded and decoded a second time in a fresh process.
    """

    code = 12

    def __init__(self, settings: ExternalSettings | None = None) -> None:
        """Raises ConfigError for faults of the settings, UserError for a file that can't be read or
        an entry point that can't be loaded.
        """
        settings = settings or ExternalSettings()
        faults = settings.faults()
        if faults:
            raise ConfigError(faults)
        self._door: Door
        if settings.has_commands:
            self._door = Commands(settings)
        else:
            self._door = Plugin(settings.entry_name, settings.timeout)
        self.shared_bytes = self._door.shared_bytes

    def store(self, pixels: Pixels) -> Payload:
        """The codec's bytes. Raises UserError when it fails, ConfigError when it writes others for
        the same page.
        """
        data = self._door.write(pixels)
        self._check("encode", "writes", lambda: self._door.write(pixels, again=True) == data)
        return Payload(self._door.parameters, (data,))

    def decode(self, data: bytes) -> Pixels:
        """The page of a bitstream that these settings wrote.

        Raises BitstreamError for another one, UserError when the codec fails, ConfigError when it
        gives other pixels for the same bytes.
        """
        stream, chosen = taken_apart(data)
        if chosen is not External or stream.parameters != self._door.parameters:
            raise BitstreamError("external: not written with these settings, files and programs")
        stored, shape = stream.sections[0], stream.shape
        page = self._door.read(stored, shape)
        self._check(
            "decode",
            "gives",
            lambda: np.array_equal(self._door.read(stored, shape, again=True), page),
        )
        return page

    @classmethod
    def restore(cls, stream: Bitstream) -> Pixels:
        """The page that an installed package wrote."""
        cursor = Cursor(stream.parameters, "external")
        entry, tag = cursor.block(), cursor.block()
        cursor.end()
        if not entry:
            raise BitstreamError(
                f"external: written by a program, with settings {tag.hex()}; only with these can "
                "it be decoded (python -m freqexp.codec decode ... compressor=external ...)"
            )
        try:
            name, version = entry.decode(), tag.decode()
            here = plugins.loaded(name).version
            if here != version:
                raise UserError(f"written by version {version!r} of {name}, here is {here!r}")
            return plugins.decoded(name, stream.sections[0], stream.shape)
        except UnicodeDecodeError as error:
            raise BitstreamError("external: not the name of an entry point") from error
        except UserError as error:
            raise BitstreamError(f"external: {error}") from error

    def _check(self, way: str, does: str, same: Callable[[], bool]) -> None:
        """Try it again, the first time in this process. Raises ConfigError when it isn't `same`,
        then and ever after.
        """
        key = (way, self._door.key)
        if key not in _same_again:
            field, shown = self._door.fields[way]
            what = "bytes for the same page" if way == "encode" else "pixels for the same bytes"
            wrong = fault(
                field, shown, f"a codec that {does} the same {what} each time (these differ)"
            )
            _same_again[key] = None if same() else wrong
        found = _same_again[key]
        if found is not None:
            raise ConfigError([found])
