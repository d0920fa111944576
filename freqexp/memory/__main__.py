"""`python -m freqexp.memory`: does a model fit? Reads its config, loads no weights.

    python -m freqexp.memory model=glyph model.path=FOLDER pages=1,32,100 memory_gb=40

Besides the keys of `freqexp.run`: pages, how many full pages a sample has; memory_gb, the memory of
the card (10^9 bytes; without it: what is free here); gpus, over how many one copy is spread.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from freqexp.errors import ConfigError, exit_code, fault

OWN = {"pages": "1,32,100", "memory_gb": "", "gpus": "1"}


def main(arguments: Sequence[str]) -> int:
    """Print a plan for each number of pages. Returns 0 when all fit, 1 when one does not, 2 for bad
    input or a config that can't be had.
    """
    if {"-h", "--help"} & set(arguments):
        print(__doc__)
        return 0
    return exit_code(lambda: show(arguments))


def show(arguments: Sequence[str]) -> int:
    """See `main`. Raises UserError."""
    typed = {**OWN, **dict(a.split("=", 1) for a in arguments if a.split("=")[0] in OWN)}
    pages = [int(_number("pages", text)) for text in typed["pages"].split(",")]
    gpus = int(_number("gpus", typed["gpus"]))
    memory_gb = _number("memory_gb", typed["memory_gb"]) if typed["memory_gb"] else 0.0
    from freqexp.composing.compose import compose

    model = compose([a for a in arguments if a.split("=")[0] not in OWN]).model
    from freqexp.memory.geometry import geometry_of
    from freqexp.memory.plan import Room, free_room, page_size, plan

    room = Room(int(memory_gb * 1e9), f"{memory_gb:g} GB", gpus)
    if not memory_gb:
        room = free_room(model, gpus)
    shape, size = geometry_of(model), page_size(model.render)
    plans = [plan(model, [size] * count, room=room, geometry=shape) for count in pages]
    print("\n".join(each.lines() for each in plans))
    return 1 if any(each.fits is False for each in plans) else 0


def _number(key: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    whole = key != "memory_gb"
    if value <= 0 or (whole and value != int(value)):
        raise ConfigError([fault(key, text, f"a{' whole' if whole else ''} number above 0")])
    return value


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
