"""Range checks of configuration values: each returns its faults, worded by `fault`."""

from __future__ import annotations

import math
import re
from pathlib import Path

from freqexp.errors import fault

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
COMMIT = re.compile(r"[0-9a-f]{40}")


def integers(owner: object, prefix: str, names: tuple[str, ...], low: int, high: int) -> list[str]:
    """Fields that are None or an integer in [low, high]."""
    values = {name: getattr(owner, name) for name in names}
    return [
        fault(f"{prefix}.{name}", value, f"an integer from {low} to {high}")
        for name, value in values.items()
        if value is not None and not low <= value <= high
    ]


def positive(owner: object, prefix: str, names: tuple[str, ...]) -> list[str]:
    """Fields that are finite and above 0."""
    values = {name: getattr(owner, name) for name in names}
    return [
        fault(f"{prefix}.{name}", value, "a finite number above 0")
        for name, value in values.items()
        if not (math.isfinite(value) and value > 0)
    ]


def not_negative(owner: object, prefix: str, names: tuple[str, ...]) -> list[str]:
    """Fields that are finite and not below 0."""
    values = {name: getattr(owner, name) for name in names}
    return [
        fault(f"{prefix}.{name}", value, "a finite number, 0 or more")
        for name, value in values.items()
        if not (math.isfinite(value) and value >= 0)
    ]


def readable(path: str | Path, field: str) -> list[str]:
    """The path of a file that can be opened."""
    try:
        with Path(path).expanduser().open("rb"):
            return []
    except OSError as error:
        reason = error.strerror or type(error).__name__
        return [fault(field, str(path), f"a file that can be read ({reason})")]


def font(path: str | Path, field: str) -> list[str]:
    """The path of a font whose letters can be drawn at any size."""
    faults = readable(path, field)
    if faults:
        return faults
    from PIL import ImageFont

    try:
        ImageFont.truetype(str(Path(path).expanduser()), 16)
    except OSError as error:
        return [fault(field, str(path), f"a TrueType or OpenType font file ({error})")]
    return []


def weights(path: str | None, revision: str | None, prefix: str) -> list[str]:
    """Weights are the package's own, a folder, or a hub id pinned to one commit."""
    if path is None or Path(path).expanduser().is_dir():
        if revision is None:
            return []
        return [fault(f"{prefix}.revision", revision, f"null unless {prefix}.path is a hub id")]
    if not HUB_ID.fullmatch(path):
        return [fault(f"{prefix}.path", path, "a folder that exists, or a hub id owner/name")]
    if revision is None or not COMMIT.fullmatch(revision):
        allowed = (
            f"the 40 hex digits of a commit, if {path} is a hub id; there is no folder of this name"
        )
        return [fault(f"{prefix}.revision", revision, allowed)]
    return []
