"""The answer of a search, in a file beside its sweep's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from freqexp.files import read_json, write_json

SEARCH = "search.json"


def write_search(folder: Path, value: Mapping[str, Any]) -> None:
    """Write search.json into a sweep's folder. Raises UserError when it can't be written."""
    write_json(folder / SEARCH, value)


def search_sentences(folder: Path) -> list[str]:
    """What a search of this sweep found, in sentences; that it has not ended; nothing where there
    was none.
    """
    value = read_json(folder / SEARCH)
    if value is None:
        return []
    if value.get("ended") is not True:
        return ["the search of this sweep has not ended; the same command continues it"]
    said = value.get("sentences")
    return [text for text in said if isinstance(text, str)] if isinstance(said, list) else []
