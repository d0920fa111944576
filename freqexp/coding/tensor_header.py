"""What a safetensors file says of itself, read without its tensors. Imports nothing heavy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

# A safetensors file begins with the length of its JSON header.
_LENGTH_BYTES = 8
_MOST_BYTES = 100_000_000  # the most that safetensors allows


def header_entry(path: str | Path, name: str) -> dict[str, Any]:
    """The object in JSON at the entry `name` of the header's metadata.

    Raises OSError for a file that can't be read, ValueError for one that has no such entry.
    """
    with Path(path).expanduser().open("rb") as file:
        length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
        if length > _MOST_BYTES:
            raise ValueError("no header")
        try:
            said = json.loads(json.loads(file.read(length))["__metadata__"][name])
        except (KeyError, TypeError) as error:
            raise ValueError(f"no entry {name}") from error
    if not isinstance(said, dict):
        raise ValueError(f"{name} is no object")
    return said
