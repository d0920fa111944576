"""The picture of the rooms in docs/architecture.md, from the order that `.importlinter` keeps.

    python -m bench.rooms [--check]

Writes docs/figures/rooms.svg and the lines between the markers of docs/architecture.md: every room
in its place, with the first sentence of its docstring and its size. A new room appears by itself;
the way of a sample is the constant WAY below. --check writes nothing, and exits with 1 where
something is not up to date.
"""

from __future__ import annotations

import argparse
import ast
import configparser
import re
from collections.abc import Sequence
from pathlib import Path

from bench.rooms_picture import PURPOSE_LIMIT, Band, Room, Station, svg

ROOT = Path(__file__).resolve().parents[1]
CONTRACT = "importlinter:contract:one-way"
PICTURE = "docs/figures/rooms.svg"
PAGE = "docs/architecture.md"
BEGIN, END = "<!-- rooms: written by `python -m bench.rooms` -->", "<!-- rooms: end -->"
# A band begins with the room named here and ends above the next one.
BANDS = {
    "Commands, and what starts them": "hydra_plugins.freqexp_local",
    "Results shown": "freqexp.report",
    "Runs": "freqexp.running",
    "Models and methods": "freqexp.readers",
    "Foundations": "freqexp.coding",
}
WAY = (
    Station("run.py", "overrides, as typed"),
    Station("composing/", "points", "left"),
    Station("config/", "run, id", "before"),
    Station("running/", "what is missing of it"),
    Station("answering/", "sample by sample"),
    Station("benchmarks/", "conversation, question", "before"),
    Station("pages/", "page images"),
    Station("codecs/", "bytes", "before", method=True),
    Station("readers/", "tokens", "above"),
    Station("tokens/", "fewer", "before", method=True),
    Station("readers/", "cache", "above"),
    Station("kv/", "smaller", "before", method=True),
    Station("readers/", "answer", "above"),
    Station("benchmarks/", "grade"),
    Station("results/", "record, summary"),
    Station("comparing/", "runs side by side"),
    Station("report/", "tables, figures"),
)
MIRROR = ("tracking/", "results/", "W&B's copy")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write, or check. Returns the exit code: 0 up to date, 1 not."""
    parser = argparse.ArgumentParser(description="Draw the rooms and the way of a sample.")
    parser.add_argument("--check", action="store_true", help="write nothing; 1: not up to date")
    options = parser.parse_args(arguments)
    stale = 0
    for path, text in wanted(ROOT).items():
        file = ROOT / path
        if file.is_file() and file.read_text(encoding="utf-8") == text:
            continue
        stale += 1
        if options.check:
            print(f"{path} is not up to date: python -m bench.rooms")
        else:
            file.write_text(text, encoding="utf-8")
            print(f"{path}: written")
    return int(options.check and stale > 0)


def wanted(root: Path) -> dict[str, str]:
    """What the picture and the page should hold. Raises SystemExit where they can't be made."""
    bands = banded(root)
    page = (root / PAGE).read_text(encoding="utf-8")
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{PAGE}: the markers {BEGIN} and {END} are missing")
    order = "; ".join(
        f"{band.title}: {', '.join(room.name for room in band.rooms)}" for band in bands
    )
    stops = ", ".join(station.room for station in WAY)
    image = f"![From the top floor to the ground. {order}. A sample's way: {stops}.]"
    shown = f"{BEGIN}\n{image}({Path(PICTURE).relative_to(Path(PAGE).parent).as_posix()})\n{END}"
    return {PICTURE: svg(bands, WAY, MIRROR), PAGE: f"{before}{shown}{after}"}


def floors(root: Path) -> list[list[str]]:
    """The rooms of each floor as module names, the top one first."""
    parser = configparser.ConfigParser()
    parser.read(root / ".importlinter", encoding="utf-8")
    lines = parser[CONTRACT]["layers"].strip().splitlines()
    return [[name.strip() for name in line.split("|")] for line in lines]


def banded(root: Path) -> list[Band]:
    """The rooms in their bands. Raises SystemExit where a band's first room is no room."""
    starts = {first: title for title, first in BANDS.items()}
    found: dict[str, list[Room]] = {}
    title = ""
    for number, names in enumerate(floors(root)):
        for name in names:
            title = starts.pop(name, title)
            found.setdefault(title, []).append(room(root, name, number))
    if starts or "" in found:
        raise SystemExit(f"BANDS: no band begins with the first room, or no room is {starts}")
    return [Band(title, tuple(rooms)) for title, rooms in found.items()]


def room(root: Path, module: str, floor: int) -> Room:
    """A room as it lies in the tree; lines to the hundred, so that small changes move nothing."""
    base = root if module.startswith("freqexp.") else root / "launchers"
    path = base / module.replace(".", "/")
    if path.is_dir():
        files, doc = sorted(path.rglob("*.py")), path / "__init__.py"
    else:
        files = [path.with_suffix(".py")]
        doc = files[0]
    lines = sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files)
    modules = sum(file.name != "__init__.py" for file in files)
    hundreds = max(100, round(lines, -2))
    name = module.removeprefix("freqexp.").split(".")[0] + ("/" if path.is_dir() else ".py")
    return Room(name, purpose(doc, name), modules, hundreds, floor)


def purpose(file: Path, name: str) -> str:
    """The first sentence of a docstring, without the command or name that it may begin with.

    One that is too long ends at a colon, a semicolon or `, and`. Raises SystemExit where it has
    none of these.
    """
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    sentence = " ".join(re.split(r"\.(?:\s|$)", text, maxsplit=1)[0].split())
    said = re.sub(rf"^(?:`[^`]*`|{name.rstrip('/')}): ", "", sentence, flags=re.IGNORECASE)
    if len(said) > PURPOSE_LIMIT:
        cuts = [at.start() for at in re.finditer(r"[:;] |, and ", said[: PURPOSE_LIMIT + 2])]
        said = said[: cuts[-1]] if cuts else ""
    if not said:
        raise SystemExit(f"{file}: its first sentence has more than {PURPOSE_LIMIT} characters")
    return said[0].upper() + said[1:]


if __name__ == "__main__":
    raise SystemExit(main())
