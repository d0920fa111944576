"""The numbers in the headers of bitstreams, found in the codecs' own modules.

A class says `code = N`, and nothing else does. The text is read and nothing imported: whoever
decodes a page loads the codec that wrote it and no other one.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from pathlib import Path

OUTSIDE = 255
"""Stands for every codec from outside this package; its name is in the bitstream."""

_CLASS_OR_CODE = re.compile(r"^class (\w+)|^    code = (\d+)$", re.MULTILINE)


@functools.cache
def codes() -> Mapping[int, str]:
    """Each number and the module and class that decode it, as in "png:Png", by number.

    A number is stable: it is never given to another codec.
    """
    found: dict[int, str] = {}
    room = Path(__file__).parent
    for file in sorted((*room.glob("*.py"), *room.glob("*/codec.py"))):
        module = ".".join(file.relative_to(room).with_suffix("").parts)
        name = ""
        for match in _CLASS_OR_CODE.finditer(file.read_text(encoding="utf-8")):
            name = match[1] or name
            if match[2]:
                number = int(match[2])
                assert number not in found, f"{module} and {found[number]} have number {number}"
                assert 0 < number < OUTSIDE, f"{module}: no number {number}"
                found[number] = f"{module}:{name}"
    return dict(sorted(found.items()))
