"""Readers of installed packages, by the entry-point group `freqexp.readers`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freqexp.errors import UserError
from freqexp.outside.entries import Entry
from freqexp.outside.offered import READER
from freqexp.outside.source import Source
from freqexp.readers.base import Reader

if TYPE_CHECKING:
    from freqexp.schemas.outside_model import OutsideModelConfig


def source_code(name: str) -> Source:
    """Where a reader is written. Raises UserError for one that can't be loaded."""
    _class(name)
    return READER.source(name)


def reader_class(name: str) -> type[Reader]:
    """A class below `Reader` with a class method `load(config)`.

    Raises UserError, which names the package, for anything else and what can't be loaded.
    """
    return _class(name)[1]


def load_from(config: OutsideModelConfig) -> Reader:
    """The reader of `config`, loaded by its own code. Raises UserError, which names the package."""
    entry, offered = _class(config.source)
    try:
        reader = offered.load(config)  # type: ignore[attr-defined]
    except UserError:
        raise
    # Other people's code, with exceptions of every type.
    except Exception as error:
        raise READER.refused(entry, "a reader that loads", error) from error
    if not isinstance(reader, Reader):
        raise READER.refused(entry, "a reader whose `load` gives a Reader")
    return reader


def _class(name: str) -> tuple[Entry, type[Reader]]:
    entry, found = READER.load(name)
    if not isinstance(found, type) or not issubclass(found, Reader):
        raise READER.refused(entry, "a class below freqexp.readers.base.Reader")
    if not callable(getattr(found, "load", None)):
        raise READER.refused(entry, "a reader with a class method `load(config)`")
    return entry, found
