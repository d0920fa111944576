from __future__ import annotations

from pathlib import Path

import pytest

from freqexp.code import code_digest, files_digest

ORIGINAL = """
from collections.abc import Sequence
from math import ceil, floor

LIMIT: int = 3


class Box:
    size: int
    name = "box"

    def take(self, items: list[int], most: int = LIMIT) -> int:
        return ceil(len(items) / most)
"""

SAME = {
    "a comment": ("LIMIT: int = 3", "LIMIT: int = 3  # at most"),
    "a docstring of the module": ("\nfrom collections", '"""Boxes."""\nfrom collections'),
    "a docstring of a class": ("class Box:", 'class Box:\n    """A box."""\n'),
    "a docstring of a value": ("LIMIT: int = 3", 'LIMIT: int = 3\n"""At most."""'),
    "a docstring of a function": ("        return", '        """How many."""\n        return'),
    "no hint of a value": ("LIMIT: int = 3", "LIMIT = 3"),
    "another hint of a field": ("size: int", "size: float"),
    "hints of a function": ("items: list[int], most: int = LIMIT) -> int", "items, most=LIMIT)"),
    "an import for hints": ("Sequence", "Mapping"),
    "an import for type checkers": (
        "\nLIMIT",
        "\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch\n\nLIMIT",
    ),
    "layout": (
        "ceil(len(items) / most)",
        "ceil(\n            len(items)\n            / most\n        )",
    ),
}

OTHER = {
    "a constant": ("= 3", "= 4"),
    "a constant of another type": ("= 3", "= 3.0"),
    "a default": ("= LIMIT", "= 5"),
    "a function": ("ceil(len", "floor(len"),
    "a text that is a value": ('"box"', '"bag"'),
    "another field": ("size: int", "size: int\n    colour: str"),
    "a value for a field": ("size: int", "size: int = 0"),
    "an operator": ("/ most", "// most"),
    "a decorator": ("    def take", "    @staticmethod\n    def take"),
    "a branch that runs": ("LIMIT: int = 3", "LIMIT: int = 3\nif LIMIT:\n    import torch"),
}


@pytest.mark.parametrize("edit", SAME)
def test_talk_is_no_code(edit: str) -> None:
    assert SAME[edit][0] in ORIGINAL
    assert code_digest(ORIGINAL.replace(*SAME[edit])) == code_digest(ORIGINAL)


@pytest.mark.parametrize("edit", OTHER)
def test_code_is(edit: str) -> None:
    assert OTHER[edit][0] in ORIGINAL
    assert code_digest(ORIGINAL.replace(*OTHER[edit])) != code_digest(ORIGINAL)


def test_an_import_that_is_used_or_exported_counts() -> None:
    used = "from math import ceil as f\nx = f(2.5)\n"
    assert code_digest(used) != code_digest(used.replace("ceil", "floor"))
    exported = "from math import ceil\n__all__ = ['ceil']\n"
    assert code_digest(exported) != code_digest(exported.replace("from math", "from numpy"))
    hinted = exported.replace("__all__", "__all__: list[str]")
    assert code_digest(hinted) == code_digest(exported)
    assert code_digest("from math import *") != code_digest("from numpy import *")


def test_files_count_by_name_and_content_and_in_no_order(tmp_path: Path) -> None:
    (tmp_path / "room").mkdir()
    first, second = tmp_path / "a.py", tmp_path / "room" / "b.py"
    first.write_text("x = 1\n")
    second.write_text("y = 2\n")
    whole = files_digest(tmp_path, [first, second])
    assert files_digest(tmp_path, [second, first]) == whole
    assert files_digest(tmp_path, [first]) != whole
    second.write_text("y = 22\n")
    assert files_digest(tmp_path, [first, second]) != whole
