"""Settings of `external`: what is wrong with them, and what of them a result depends on."""

from __future__ import annotations

import functools
import hashlib
import json
import math
import os
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from string import Formatter
from typing import Any

from freqexp.codecs.external import plugins
from freqexp.errors import UserError, fault

FIELD = "compressor."
FORMATS = ("png", "pnm", "pbm")
NEEDED = ("input", "output")
PLACEHOLDERS = (*NEEDED, "quality")
EXAMPLE = "deflate"
_SUFFIX = re.compile(r"(\.[A-Za-z0-9_-]{1,20}){1,3}")


@dataclass(frozen=True)
class ExternalSettings:
    """As `ExternalConfig` has them. With commands `entry` is None; without either it is EXAMPLE."""

    encode: tuple[str, ...] = ()
    decode: tuple[str, ...] = ()
    entry: str | None = None
    input_format: str = "png"
    output_format: str = "png"
    threshold: int = 128
    suffix: str = ".bin"
    files: tuple[str, ...] = ()
    quality: str | None = None
    timeout: float = 60.0

    @property
    def has_commands(self) -> bool:
        """Whether one command at least was given."""
        return bool(self.encode or self.decode)

    @property
    def entry_name(self) -> str:
        """The entry point that acts where there are no commands."""
        return EXAMPLE if self.entry is None else self.entry

    def faults(self, prefix: str = FIELD) -> list[str]:
        """Every fault, each field named under `prefix`. Starts no program and loads no package."""
        if not (math.isfinite(self.timeout) and self.timeout > 0):
            found = [fault(f"{prefix}timeout", self.timeout, "seconds, a finite number above 0")]
        else:
            found = []
        if not self.has_commands:
            return found + self._entry_faults(prefix)
        if self.entry is not None:
            allowed = f"null beside {prefix}encode and {prefix}decode: one of them is the codec"
            found.append(fault(f"{prefix}entry", self.entry, allowed))
        if not 1 <= self.threshold <= 255:
            found.append(fault(f"{prefix}threshold", self.threshold, "an integer from 1 to 255"))
        for name in ("input_format", "output_format"):
            if getattr(self, name) not in FORMATS:
                found.append(fault(f"{prefix}{name}", getattr(self, name), ", ".join(FORMATS)))
        if not _SUFFIX.fullmatch(self.suffix):
            allowed = "a dot and letters or digits, as in .jp2"
            found.append(fault(f"{prefix}suffix", self.suffix, allowed))
        for name in ("encode", "decode"):
            found += self._command_faults(f"{prefix}{name}", getattr(self, name))
        for path in self.files:
            found += _file_faults(f"{prefix}files", path)
        return found + self._quality_faults(prefix)

    def _entry_faults(self, prefix: str) -> list[str]:
        found = []
        plain = ExternalSettings()
        for name in ("input_format", "output_format", "threshold", "suffix", "files", "quality"):
            value, usual = getattr(self, name), getattr(plain, name)
            if value != usual:
                shown = "empty" if usual == () else "null" if usual is None else usual
                allowed = f"{shown} without commands (encode, decode), it is theirs alone"
                value = list(value) if isinstance(value, tuple) else value
                found.append(fault(f"{prefix}{name}", value, allowed))
        if self.entry_name not in plugins.names():
            allowed = f"null, or a codec that is installed: {', '.join(plugins.names())}"
            found.append(fault(f"{prefix}entry", self.entry, allowed))
        return found

    def _command_faults(self, field: str, command: tuple[str, ...]) -> list[str]:
        if not command:
            return [fault(field, None, "a command, a list of texts: the codec needs both of them")]
        program, *arguments = command
        found, used = [], set[str]()
        for argument in arguments:
            try:
                used |= placeholders(argument)
            except ValueError as error:
                found.append(fault(field, argument, f"no placeholders but {_shown()} ({error})"))
        if not found and not used >= set(NEEDED):
            lacking = " and ".join(f"{{{name}}}" for name in NEEDED if name not in used)
            allowed = f"a command with {{input}} and {{output}} ({lacking} is missing)"
            found.append(fault(field, list(command), allowed))
        if shutil.which(os.path.expanduser(program)) is None:
            found.append(fault(field, program, "a program that is found here and can be started"))
        return found

    def _quality_faults(self, prefix: str) -> list[str]:
        words = [*self.encode[1:], *self.decode[1:]]
        try:
            used = any("quality" in placeholders(word) for word in words)
        except ValueError:
            return []
        if used and self.quality is None:
            allowed = "a number or a text, which a command has a place for ({quality})"
            return [fault(f"{prefix}quality", None, allowed)]
        if not used and self.quality is not None:
            return [fault(f"{prefix}quality", self.quality, "null, as no command has {quality}")]
        return []

    def identity(self) -> dict[str, Any]:
        """What a result depends on: files by their content, whatever their path is.

        An argument that names a file counts by its content, and so does a program given by a path;
        one that is looked for on PATH counts by its name. `timeout` changes no result. An entry
        point is loaded, because its object says which version it is.
        Raises UserError for a file that can't be read, or an entry point that can't be loaded.
        """
        if not self.has_commands:
            return plugins.loaded(self.entry_name).identity
        found: dict[str, Any] = {
            "encode": with_files(self.encode, file_hash),
            "decode": with_files(self.decode, file_hash),
            "files": [file_hash(path) for path in self.files],
            "input_format": self.input_format,
            "output_format": self.output_format,
            "suffix": self.suffix,
            "quality": self.quality,
        }
        if self.input_format == "pbm":
            found["threshold"] = self.threshold
        return found


def key_of(identity: dict[str, Any]) -> bytes:
    """SHA-256 of what `ExternalSettings.identity` gives."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).digest()


def placeholders(argument: str) -> set[str]:
    """Names in braces; `{{` and `}}` are braces. Raises ValueError for any other than PLACEHOLDERS,
    and for braces that do not close.
    """
    found = set()
    for _, name, form, conversion in Formatter().parse(argument):
        if name is None:
            continue
        if name not in PLACEHOLDERS or form or conversion:
            raise ValueError(f"{{{name}}} is none; a brace is written twice")
        found.add(name)
    return found


def with_files(command: Sequence[str], to: Callable[[str], str]) -> list[str]:
    """A command with `to(word)` for each word that is as a whole the path of a file that is there.
    A program without a slash is none: it is looked for on PATH.
    """
    return [
        to(word) if os.path.isfile(os.path.expanduser(word)) and (place or os.sep in word) else word
        for place, word in enumerate(command)
    ]


def file_hash(path: str) -> str:
    """SHA-256 (hex) of a file. Raises UserError when it can't be read."""
    try:
        path = os.path.expanduser(path)
        found = os.stat(path)
        return _known_hash(path, found.st_size, found.st_mtime_ns)
    except OSError as error:
        raise UserError(f"{path}: can't be read ({error.strerror})") from error


@functools.lru_cache(maxsize=64)
def _known_hash(path: str, size: int, modified: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _file_faults(field: str, path: str) -> list[str]:
    try:
        with open(os.path.expanduser(path), "rb"):
            return []
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        return [fault(field, path, f"a file that can be read ({reason})")]


def _shown() -> str:
    return ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
