"""Methods from outside that a saved run used: whether they are here, and with the same code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freqexp.comparing.text import plain
from freqexp.config.identity import outside_code
from freqexp.errors import ConfigError
from freqexp.outside.offered import READER
from freqexp.schemas.compressor import chosen

if TYPE_CHECKING:
    from freqexp.config.run import RunConfig

KEY = "outside"
"""Of provenance.json."""


def noted(provenance: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """What a run's provenance says of its methods from outside, by name."""
    found = provenance.get(KEY)
    if not isinstance(found, Mapping):
        return {}
    return {plain(name): note for name, note in found.items() if isinstance(note, Mapping)}


def absent(provenance: Mapping[str, Any], folders: Sequence[Path | str]) -> list[str]:
    """A sentence for each method that can't be had here: whose it was, why, and what to do.

    Nothing that only the provenance names is imported: the file of a user's own method has to lie
    in one of `folders`.
    """
    found = []
    for name, note in noted(provenance).items():
        if name == READER.field:
            continue  # the check of the configuration says so of a reader
        try:
            chosen(name, folders)
        except ConfigError as error:
            why = str(error).partition(", allowed: ")[2]
            known = len(why) > len(name) and why.startswith("none, ")
            reason = "nobody here has it" if known else why
            found.append(f"method {name} of {_whose(note)}: {reason}; {_what_to_do(name, note)}")
    return found


def differing(provenance: Mapping[str, Any], cfg: RunConfig) -> list[str]:
    """A sentence for each method whose code is another one than then."""
    found = []
    here = outside_code(cfg)
    for name, note in noted(provenance).items():
        then, now = plain(note.get("code"))[:12], here.get(name, "none")[:12]
        if then != now:
            found.append(f"method {name} of {_whose(note)}: code {then} then, {now} now")
    return found


def _whose(note: Mapping[str, Any]) -> str:
    if "package" in note:
        return f"package {plain(note['package'])} {plain(note.get('version', '?'))}"
    return f"file {plain(note.get('file'))}"


def _what_to_do(name: str, note: Mapping[str, Any]) -> str:
    if "package" in note:
        return f"install {plain(note['package'])} {plain(note.get('version', ''))}".strip()
    return f"--config-dir FOLDER, which has compressor/{name}.py"
