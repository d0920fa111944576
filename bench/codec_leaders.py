"""Who stores pages in the fewest bytes: ours beside the best rival, on each material."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench.codec_quality import WITHOUT_ERROR_DB
from bench.codec_rows import Row, by_material
from bench.codec_settings import OURS

LIMIT_POINTS = 0.2
"""A page is readable when its CER is at most so many percentage points above that of the page as it
is."""

MOST_CER_PERCENT = 10
"""Above this CER of the pages as they are the recogniser can't read a material at all, and pages
are compared at `LIKE_DB` in place of readability."""

LIKE_DB = 36

Fits = Callable[[Row], bool]


@dataclass(frozen=True)
class Pair:
    """The smallest row of ours and of the rivals that fit; None: there is none."""

    ours: Row | None
    rival: Row | None

    @property
    def ratio(self) -> float | None:
        """Bytes of ours over bytes of the rival."""
        return self.ours.bytes / self.rival.bytes if self.ours and self.rival else None


def baseline(rows: Sequence[Row]) -> Row:
    """The pages of one material as they are."""
    return next(row for row in rows if row.codec == "none")


def is_read(rows: Sequence[Row]) -> bool:
    """Whether the recogniser can read a material."""
    return baseline(rows).cer_percent <= MOST_CER_PERCENT


def readable(rows: Sequence[Row]) -> Fits:
    """What keeps the pages of one material readable; where the recogniser can't tell, `alike`."""
    limit = baseline(rows).cer_percent + LIMIT_POINTS
    return (lambda row: row.cer_percent <= limit) if is_read(rows) else alike


def alike(row: Row) -> bool:
    """Whether a page is as good as the same."""
    return row.psnr_db >= LIKE_DB


def lossless(row: Row) -> bool:
    """Whether a page is the same."""
    return row.psnr_db >= WITHOUT_ERROR_DB


def smallest(rows: Sequence[Row], fits: Fits) -> dict[str, Row | None]:
    """Of each codec, the row of fewest bytes that fits; None where none does."""
    found: dict[str, Row | None] = {}
    for row in rows:
        best = found.setdefault(row.codec, None)
        if fits(row) and (best is None or row.bytes < best.bytes):
            found[row.codec] = row
    found.pop("none", None)
    return found


def pair(rows: Sequence[Row], fits: Fits) -> Pair:
    """Ours and the best rival of one material."""
    best = [row for row in smallest(rows, fits).values() if row is not None]

    def least(ours: bool) -> Row | None:
        chosen = [row for row in best if (row.codec in OURS) == ours]
        return min(chosen, key=lambda row: row.bytes, default=None)

    return Pair(least(True), least(False))


def pairs(rows: Sequence[Row]) -> dict[str, dict[str, Pair]]:
    """By criterion and material. "nothing trained": readable, without codebook and prior."""
    found: dict[str, dict[str, Pair]] = {}
    for material, group in by_material(rows).items():
        fits = readable(group)
        bare = [row for row in group if not row.share_bytes]
        of = {
            "readable": pair(group, fits),
            f"{LIKE_DB} dB": pair(group, alike),
            "lossless": pair(group, lossless),
            "nothing trained": pair(bare, fits),
        }
        for criterion, both in of.items():
            found.setdefault(criterion, {})[material] = both
    return found


def leaders(rows: Sequence[Row]) -> Iterator[str]:
    """A table of all materials, then who leads where."""
    found = pairs(rows)
    groups = by_material(rows)
    yield "| material | trained on | CER % as it is | " + " | | ".join(found) + " | |"
    yield "|---|---|---|" + "---|---|" * len(found)
    for material, group in groups.items():
        first = baseline(group)
        cer = f"{first.cer_percent:.2f}" + ", not read" * (not is_read(group))
        cells = " | ".join(_cells(both[material]) for both in found.values())
        yield f"| {material} | {first.trained} | {cer} | {cells} |"
    yield ""
    yield from (f"- {criterion}: {_lead(both)}" for criterion, both in found.items())
    yield ""
    yield from _of_ours(groups)


def summary(rows: Sequence[Row]) -> str:
    """On how many materials ours lead."""
    parts = []
    for criterion, both in pairs(rows).items():
        won = sum(of.ratio is not None and of.ratio < 1 for of in both.values())
        parts.append(f"{won} of {len(both)} ({criterion})")
    return ", ".join(parts)


def _cells(both: Pair) -> str:
    ratio = f"{both.ratio:.2f}" if both.ratio is not None else ""
    return f"{_named(both.ours)} / {_named(both.rival)} | {ratio}"


def _named(row: Row | None) -> str:
    return f"{row.codec} {row.setting}".strip() + f" {row.bytes:,.0f}" if row else "none"


def _lead(both: Mapping[str, Pair]) -> str:
    """Who leads on which materials, and by how much ours are behind at most."""
    won = [material for material, of in both.items() if of.ratio is not None and of.ratio < 1]
    lost: dict[str, list[str]] = {}
    for material, of in both.items():
        if material not in won and of.rival is not None:
            lost.setdefault(of.rival.codec, []).append(material)
    parts = [f"ours on {len(won)} of {len(both)} materials{_most(both)}"]
    parts += [f"{codec} on {', '.join(names)}" for codec, names in lost.items()]
    return "; ".join(parts)


def _most(both: Mapping[str, Pair]) -> str:
    ratios = {material: of.ratio for material, of in both.items() if of.ratio is not None}
    if not ratios:
        return ""
    material = max(ratios, key=lambda name: ratios[name])
    return f", at most {ratios[material]:.2f} times the best rival ({material})"


def _of_ours(groups: Mapping[str, Sequence[Row]]) -> Iterator[str]:
    """Where block_vq has fewer bytes than symbols, and than the best rival."""
    criteria: dict[str, Callable[[Sequence[Row]], Fits]] = {
        "readable": readable,
        f"{LIKE_DB} dB": lambda rows: alike,
        "lossless": lambda rows: lossless,
    }
    for criterion, fits_of in criteria.items():
        before: dict[str, list[str]] = {"symbols": [], "the best rival": []}
        for material, rows in groups.items():
            best = smallest(rows, fits_of(rows))
            ours = best.get("block_vq")
            others = {
                "symbols": best.get("symbols"),
                "the best rival": pair(rows, fits_of(rows)).rival,
            }
            for name, other in others.items():
                if ours and (other is None or ours.bytes < other.bytes):
                    before[name].append(material)
        text = "; ".join(f"than {name}: {', '.join(w) or 'nowhere'}" for name, w in before.items())
        yield f"- block_vq takes fewer bytes, {criterion}, {text}"
