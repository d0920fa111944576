"""The rooms from the top floor to the ground, and the way of a sample through them, as one SVG."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

ROW, HEAD, GAP, TOP, LEFT, RIGHT = 23, 25, 8, 8, 8, 1090
# Where a row's name, purpose, modules and lines stand, and the first station of the way.
NAME, PURPOSE, MODULES, LINES, FIRST, STRIDE = 22, 146, 512, 560, 640, 23
DOT, BEND, HALO = 8.5, 7, 3
PURPOSE_LIMIT = 52
# Okabe and Ito's colours, told apart with every kind of colour vision; methods are squares, too.
WAY, METHOD, INK, GRAY, HAIR = "#0072B2", "#D55E00", "#1f2328", "#656d76", "#d0d7de"
TINTS = ("#f6f8fa", "#eef6fc", "#f6f8fa", "#fdf4ec", "#f6f8fa")
SANS = "ui-sans-serif, system-ui, 'Segoe UI', Helvetica, Arial, sans-serif"
MONO = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'Liberation Mono', monospace"


@dataclass(frozen=True)
class Room:
    """One room: its name as a path, what it is for, its size, and its floor (0: the top)."""

    name: str
    purpose: str
    modules: int
    lines: int
    floor: int


@dataclass(frozen=True)
class Band:
    """Neighbouring floors under one title."""

    title: str
    rooms: tuple[Room, ...]


@dataclass(frozen=True)
class Station:
    """A stop on the way of a sample: in which room, what is there, on which side that is written.

    method: a place that compresses, which compressor=none passes by.
    """

    room: str
    label: str
    side: str = "right"
    method: bool = False


def svg(bands: Sequence[Band], way: Sequence[Station], mirror: tuple[str, str, str]) -> str:
    """The picture. mirror: the room that copies, the room it copies from, what is written there.

    Raises KeyError for a station in a room that no band has.
    """
    heights = _heights(bands)
    end = TOP + sum(HEAD + ROW * len(band.rooms) + GAP for band in bands)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {RIGHT + LEFT} {end + 6}" '
        f'font-family="{SANS}" font-size="12" fill="{INK}" role="img">',
        "<title>The rooms of freqexp and the way of a sample</title>",
        f'<rect width="{RIGHT + LEFT}" height="{end + 6}" rx="8" fill="#ffffff"/>',
        *_panels(bands),
        *_way(way, heights, mirror),
        *_legend(),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _heights(bands: Sequence[Band]) -> dict[str, float]:
    """The middle of each room's row."""
    heights, y = {}, float(TOP)
    for band in bands:
        y += HEAD
        for room in band.rooms:
            heights[room.name] = y + ROW / 2
            y += ROW
        y += GAP
    return heights


def _panels(bands: Sequence[Band]) -> Iterator[str]:
    """Titles and rows; a hairline between floors, none between rooms of one floor."""
    heights = _heights(bands)
    for band, tint in zip(bands, TINTS, strict=True):
        first = heights[band.rooms[0].name] - ROW / 2
        height = HEAD + ROW * len(band.rooms)
        yield (
            f'<rect x="{LEFT}" y="{first - HEAD:g}" width="{RIGHT - LEFT}" height="{height}" '
            f'rx="6" fill="{tint}" stroke="{HAIR}"/>'
        )
        yield _text(NAME - 4, first - 8, band.title, weight=600, size=12.5)
        above = None
        for room in band.rooms:
            y = heights[room.name]
            if above != room.floor:
                yield _line(NAME - 4, y - ROW / 2, LINES + 4)
            above = room.floor
            yield _text(NAME, y + 4, room.name, family=MONO, weight=600)
            yield _text(PURPOSE, y + 4, room.purpose)
            yield _text(MODULES, y + 4, str(room.modules), color=GRAY, anchor="end")
            yield _text(LINES, y + 4, f"{room.lines:,}", color=GRAY, anchor="end")
    for at, word in ((MODULES, "modules"), (LINES, "lines")):
        yield _text(at, TOP + HEAD - 8, word, color=GRAY, size=11, anchor="end")


def _way(
    way: Sequence[Station], heights: dict[str, float], mirror: tuple[str, str, str]
) -> Iterator[str]:
    """The line first, then labels, then stations, so that nothing is crossed out."""
    # The first station stands right above the second: what is typed goes straight down.
    places = [(FIRST + STRIDE * max(0, k - 1), heights[s.room]) for k, s in enumerate(way)]
    (x, y), *rest = places
    path = f"M{x} {y:g}"
    for (x, y), (before, above) in zip(rest, places[:-1], strict=True):
        turn = BEND if y > above else -BEND
        path += (
            f"V{y:g}" if x == before else f"V{y - turn:g}Q{before} {y:g} {before + BEND} {y:g}H{x}"
        )
    copy, origin, words = mirror
    start = next(x for (x, _), s in zip(places, way, strict=True) if s.room == origin)
    y = heights[copy]
    yield f'<path d="{path}" fill="none" stroke="{WAY}" stroke-width="2.5"/>'
    yield (
        f'<path d="M{start} {y:g}h{STRIDE}" stroke="{WAY}" stroke-width="2" '
        'stroke-dasharray="3 3"/>'
    )
    yield _label(start + STRIDE, y, words, "right")
    for (x, y), station in zip(places, way, strict=True):
        yield _label(x, y, station.label, station.side)
    yield (
        f'<circle cx="{start + STRIDE}" cy="{heights[copy]:g}" r="5" fill="#ffffff" '
        f'stroke="{WAY}" stroke-width="2"/>'
    )
    for number, ((x, y), station) in enumerate(zip(places, way, strict=True), start=1):
        yield _station(x, y, str(number), station.method)


def _station(x: float, y: float, number: str, method: bool) -> str:
    if method:
        side = 2 * DOT
        shape = f'<rect x="{x - DOT}" y="{y - DOT:g}" width="{side}" height="{side}" rx="2" '
    else:
        shape = f'<circle cx="{x}" cy="{y:g}" r="{DOT}" '
    color = METHOD if method else WAY
    return f'{shape}fill="{color}"/>' + _text(
        x, y + 3.7, number, color="#ffffff", size=10.5, weight=700, anchor="middle"
    )


def _label(x: float, y: float, words: str, side: str) -> str:
    """What a station holds; the line leaves upwards or downwards and comes from the left."""
    places = {
        "right": (x + DOT + 4, y + 4, "start"),
        "left": (x - DOT - 4, y + 4, "end"),
        "before": (x - STRIDE - 6, y + 4, "end"),
        "above": (x + DOT, y - DOT - 5, "end"),
    }
    at, base, anchor = places[side]
    return _text(at, base, words, size=11, anchor=anchor, color="#0b4a75", halo=True)


def _legend() -> Iterator[str]:
    x, y = FIRST + 160, TOP + HEAD + 6
    yield _text(x, y, "The way of a sample", weight=600, size=13)
    lines = (
        "composed, answered sample by sample,",
        "recorded, compared with a baseline, shown",
    )
    for number, line in enumerate(lines, start=1):
        yield _text(x, y + 2 + 16 * number, line)
    yield _station(x + DOT, y + 58, "", True)
    yield _text(x + 26, y + 62, "compresses; left out by compressor=none")
    yield _line(x, y + 82, x + 2 * DOT)
    yield _text(x + 26, y + 86, "a floor imports only from floors below it;")
    yield _text(x + 26, y + 102, "rooms of one floor do not know each other")


def _line(x: float, y: float, to: float) -> str:
    return f'<path d="M{x:g} {y:g}H{to:g}" stroke="{HAIR}"/>'


def _text(
    x: float,
    y: float,
    words: str,
    *,
    color: str | None = None,
    size: float | None = None,
    weight: int | None = None,
    family: str | None = None,
    anchor: str | None = None,
    halo: bool = False,
) -> str:
    """One line of text on its baseline; halo: a light rim, for words that a line passes."""
    given = {
        "fill": color,
        "font-size": size,
        "font-weight": weight,
        "font-family": family,
        "text-anchor": anchor,
    }
    options = "".join(f' {key}="{value}"' for key, value in given.items() if value is not None)
    if halo:
        options += f' stroke="#ffffff" stroke-width="{HALO}" paint-order="stroke"'
    return f'<text x="{x:g}" y="{y:g}"{options}>{escape(words, quote=False)}</text>'
