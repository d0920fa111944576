"""Tables of the codec bench: all rows, and who stores a readable page in the fewest bytes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from bench.codec_figures import LIMIT_POINTS, TARGET_BYTES, bd_rate, pareto, rate_figure
from bench.codec_rows import Row, by_material
from freqexp.errors import UserError
from freqexp.files import write_text

OURS = ("block_vq", "block_dct")
ANCHORS = ("png", "posterize", "jxl")
FIGURE = Path("figures") / "codecs.png"
_PLACE = re.compile(r"<!-- codecs: (?P<name>\w+) -->\n(?P<old>.*?)<!-- /codecs -->", re.DOTALL)
_LOSSLESS_DB = 99


def smallest_readable(rows: Sequence[Row]) -> dict[str, Row | None]:
    """Of each codec, the row of fewest bytes whose CER is within `LIMIT_POINTS` of that of the
    pages as they are; None where there is none. Rows are those of one material.
    """
    baseline = next(row for row in rows if row.codec == "none")
    limit = baseline.cer_percent + LIMIT_POINTS
    found: dict[str, Row | None] = {}
    for row in rows:
        best = found.setdefault(row.codec, None)
        if row.cer_percent <= limit and (best is None or row.bytes < best.bytes):
            found[row.codec] = row
    del found["none"]
    return found


def comparison(rows: Sequence[Row]) -> Iterator[str]:
    """The smallest readable setting of each codec, and ours beside the best general one."""
    baseline = next(row for row in rows if row.codec == "none")
    found = smallest_readable(rows)
    best = sorted((row for row in found.values() if row is not None), key=lambda row: row.bytes)
    yield (
        f"{baseline.renderer}, {baseline.font_px:g} px, {_pages(baseline)}: fewest bytes at a "
        f"CER of at most {baseline.cer_percent:.2f} + {LIMIT_POINTS} % "
        f"({baseline.characters:,} characters read)."
    )
    yield ""
    yield "| codec | setting | bytes a page | codebook share | CER % | errors | PSNR dB | SSIM |"
    yield "|---|---|---|---|---|---|---|---|"
    for row in best:
        share = f"{row.share_bytes:,}" if row.share_bytes else ""
        yield (
            f"| {row.codec} | {row.setting} | {row.bytes:,.0f} | {share} | {row.cer_percent:.2f} | "
            f"{row.errors} | {_psnr(row)} | {row.ssim:.4f} |"
        )
    yield ""
    ours = next((row for row in best if row.codec in OURS), None)
    general = next((row for row in best if row.codec not in OURS), None)
    if ours and general:
        change = 100 * (ours.bytes / general.bytes - 1)
        target = "met" if ours.bytes <= TARGET_BYTES else "missed"
        yield (
            f"{ours.codec} takes {ours.bytes:,.0f} bytes, {change:+.0f} % against "
            f"{general.codec} ({general.bytes:,.0f}), the best general codec; the target of "
            f"{TARGET_BYTES:,} is {target}. The text alone takes {ours.text_brotli_bytes:,.0f} by "
            "brotli."
        )
    without = [name for name, row in found.items() if row is None]
    if without:
        yield f"No setting is within the limit: {', '.join(without)}."


def elsewhere(rows: Sequence[Row]) -> Iterator[str]:
    """The best of ours beside the best general codec, one line each renderer and size."""
    yield "| renderer | px | in the codebook | ours | bytes | CER % | general | bytes | CER % | |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for (renderer, size, known), group in by_material(rows).items():
        best = [row for row in smallest_readable(group).values() if row is not None]
        sides = [
            min(
                (row for row in best if (row.codec in OURS) == ours),
                key=lambda row: row.bytes,
                default=None,
            )
            for ours in (True, False)
        ]
        change = ""
        if sides[0] and sides[1]:
            change = f"{100 * (sides[0].bytes / sides[1].bytes - 1):+.0f} %"
        cells = " | ".join(
            f"{row.codec} {row.setting}".strip() + f" | {row.bytes:,.0f} | {row.cer_percent:.2f}"
            if row
            else "none | | "
            for row in sides
        )
        yield f"| {renderer} | {size:g} | {'yes' if known else 'no'} | {cells} | {change} |"


def tables(rows: Sequence[Row]) -> Iterator[str]:
    """All rows as Markdown, a table each renderer and size: Pareto points with a star."""
    for (renderer, size, known), group in by_material(rows).items():
        first = group[0]
        yield (
            f"\n**{renderer}, {size:g} px{'' if known else ', not in the codebook'}** "
            f"({_pages(first)}, {first.characters:,} characters read; text by brotli "
            f"{first.text_brotli_bytes:,.0f} bytes)\n"
        )
        yield "| codec | setting | bytes | PSNR dB | SSIM | CER % | encode ms | decode ms | |"
        yield "|---|---|---|---|---|---|---|---|---|"
        stored = [row for row in group if row.codec != "none"]
        stars = {row.key for row, best in zip(stored, pareto(stored), strict=True) if best}
        for row in sorted(group, key=lambda row: row.bytes):
            times = ("", "")
            if row.codec != "none":
                times = (f"{row.encode_ms:,.0f}", f"{row.decode_ms:,.0f}")
            yield (
                f"| {row.codec} | {row.setting} | {row.bytes:,.0f} | {_psnr(row)} | "
                f"{row.ssim:.4f} | {row.cer_percent:.2f} | {' | '.join(times)} | "
                f"{'*' if row.key in stars else ''} |"
            )
        yield ""
        yield from _bd_rates(group)


def _pages(row: Row) -> str:
    return f"{row.pages} page{'s' * (row.pages != 1)}"


def _psnr(row: Row) -> str:
    """PSNR, nothing for pages without an error."""
    return f"{row.psnr_db:.1f}" if row.psnr_db < _LOSSLESS_DB else ""


def _bd_rates(rows: Sequence[Row]) -> Iterator[str]:
    """One line an anchor: the change of bytes at equal PSNR of every codec that has a curve."""
    curves: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        # Another block size or codebook=false is another codec's curve.
        if row.psnr_db < _LOSSLESS_DB and not re.search(r"block=|codebook=", row.setting):
            curves.setdefault(row.codec, []).append((row.psnr_db, row.bytes))
    for anchor in ANCHORS:
        points = curves.get(anchor, [])
        changes = {c: bd_rate(points, curve) for c, curve in curves.items() if c != anchor}
        known = [f"{name} {value:+.0f} %" for name, value in changes.items() if value == value]
        if known:
            yield f"BD-rate against {anchor}: {', '.join(known)}"


def write_docs(path: Path, rows: Sequence[Row], origin: Mapping[str, Any]) -> None:
    """Write the tables in a Markdown file anew, and the figure beside it.

    Raises UserError when it has no places for both.
    """
    first = next(iter(by_material(rows).values()))
    pieces = {
        "comparison": "\n".join(chain(comparison(first), [f"\n{_origin(origin)}"])),
        "elsewhere": "\n".join(elsewhere(rows)),
        "tables": "\n".join(tables(rows)).strip(),
    }
    text = path.read_text(encoding="utf-8")
    if {match["name"] for match in _PLACE.finditer(text)} != set(pieces):
        raise UserError(f"{path}: has no places for {' and '.join(pieces)}")
    text = _PLACE.sub(
        lambda match: (
            f"<!-- codecs: {match['name']} -->\n{pieces[match['name']]}\n<!-- /codecs -->"
        ),
        text,
    )
    write_text(path, text)
    picture = path.parent / FIGURE
    picture.parent.mkdir(parents=True, exist_ok=True)
    title = f"Pages of {first[0].renderer}, {first[0].font_px:g} px: bytes against readability"
    rate_figure(first, title, picture)


def _origin(origin: Mapping[str, Any]) -> str:
    """Commit, versions and machine."""
    commit = str(origin.get("commit"))[:7] + (" and changes" * bool(origin.get("dirty")))
    versions = " ".join(f"{name} {number}" for name, number in origin["versions"].items())
    return f"Commit {commit}, {versions}, {origin['host_kind']}."
