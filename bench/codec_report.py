"""Tables of the codec bench, and the places of the documentation that hold them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from bench.codec_documents import Document, document_table
from bench.codec_figures import bd_rate, pareto, rate_figure
from bench.codec_leaders import (
    LIMIT_POINTS,
    baseline,
    leaders,
    lossless,
    pair,
    readable,
    smallest,
    summary,
)
from bench.codec_rows import Row, by_material
from freqexp.errors import UserError
from freqexp.files import write_text

ANCHORS = ("png", "posterize", "jxl")
FIGURE = Path("figures") / "codecs.png"
MAIN_PLACE = "comparison"
_PLACE = re.compile(r"<!-- codecs: (?P<name>\w+) -->\n(?P<old>.*?)<!-- /codecs -->", re.DOTALL)
_ANOTHER_CODEC = re.compile(r"block=|codebook=|prior=|coder=|resolutions=|dpi=")


def comparison(rows: Sequence[Row]) -> Iterator[str]:
    """The smallest readable setting of each codec on one material; ours beside the best rival."""
    plain = baseline(rows)
    found = smallest(rows, readable(rows))
    best = sorted((row for row in found.values() if row is not None), key=lambda row: row.bytes)
    yield (
        f"{plain.material}, {_pages(plain)}: fewest bytes at a CER of at most "
        f"{plain.cer_percent:.2f} + {LIMIT_POINTS} % ({plain.characters:,} characters read)."
    )
    yield ""
    columns = "codec | setting | bytes a page | share of a file | CER % [95 %] | errors"
    yield f"| {columns} | digits wrong | PSNR dB | SSIM |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for row in best:
        share = f"{row.share_bytes:,.0f}" if row.share_bytes else ""
        yield (
            f"| {row.codec} | {row.setting} | {row.bytes:,.0f} | {share} | {_cer(row)} | "
            f"{row.errors} | {_digits(row)} | {_psnr(row)} | {row.ssim:.4f} |"
        )
    yield ""
    both = pair(rows, readable(rows))
    if both.ours and both.rival:
        ours, rival = both.ours, both.rival
        yield (
            f"{ours.codec} takes {ours.bytes:,.0f} bytes, {_change(ours, rival)} against "
            f"{rival.codec} ({rival.bytes:,.0f}), the best rival. The text alone takes "
            f"{plain.text_brotli_bytes:,.0f} by brotli."
        )
    without = [name for name, row in found.items() if row is None]
    if without:
        yield f"No setting is within the limit: {', '.join(without)}."


def sentence(rows: Sequence[Row]) -> Iterator[str]:
    """What the README says: of the first material, and on how many ours lead."""
    group = next(iter(by_material(rows).values()))
    plain = baseline(group)
    both, exact = pair(group, readable(group)), pair(group, lossless)
    bare = pair([row for row in group if not row.share_bytes], readable(group))
    if both.ours is not None and both.rival is not None:
        yield (
            f"A readable 595 x 842 page of 14 px text takes {both.ours.bytes:,.0f} bytes (mean of "
            f"{plain.pages}) with\n`compressor={both.ours.codec}`, its share of a file of "
            f"examples counted, and {both.rival.bytes:,.0f} with the best rival "
            f"(`{both.rival.codec}`): {_change(both.ours, both.rival)}."
        )
    if bare.ours is not None and bare.rival is not None:
        yield (
            f"With nothing trained it is {bare.ours.bytes:,.0f} (`{bare.ours.codec}`): "
            f"{_change(bare.ours, bare.rival)}."
        )
    if exact.ours is not None and exact.rival is not None:
        yield (
            f"The same page without any loss takes {exact.ours.bytes:,.0f} bytes "
            f"(`{exact.ours.codec}`) and {exact.rival.bytes:,.0f} (`{exact.rival.codec}`)."
        )
    yield f"Materials on which ours take the fewest bytes: {summary(rows)}."


def tables(rows: Sequence[Row], short: bool = False) -> Iterator[str]:
    """All rows as Markdown, a table each material: Pareto points with a star.

    short: of all materials but the first one only Pareto points and the smallest file without loss.
    """
    for number, (material, group) in enumerate(by_material(rows).items()):
        first = baseline(group)
        yield (
            f"\n**{material}** (trained on: {first.trained}; {_pages(first)}, "
            f"{first.characters:,} characters read; text by brotli "
            f"{first.text_brotli_bytes:,.0f} bytes)\n"
        )
        columns = "codec | setting | bytes | PSNR dB | SSIM | CER % [95 %] | digits wrong"
        yield f"| {columns} | encode ms | decode ms | |"
        yield "|---|---|---|---|---|---|---|---|---|---|"
        stored = [row for row in group if row.codec != "none"]
        stars = {row.key for row, best in zip(stored, pareto(stored), strict=True) if best}
        exact = [row for row in stored if lossless(row)]
        shown = stars | {row.key for row in sorted(exact, key=lambda row: row.bytes)[:1]}
        for row in sorted(group, key=lambda row: row.bytes):
            if short and number and row.key not in shown:
                continue
            times = ("", "")
            if row.codec != "none":
                times = (f"{row.encode_ms:,.0f}", f"{row.decode_ms:,.0f}")
            yield (
                f"| {row.codec} | {row.setting} | {row.bytes:,.0f} | {_psnr(row)} | "
                f"{row.ssim:.4f} | {_cer(row)} | {_digits(row)} | {' | '.join(times)} | "
                f"{'*' if row.key in stars else ''} |"
            )
        if not short or not number:
            yield ""
            yield from _bd_rates(group)


def _pages(row: Row) -> str:
    return f"{row.pages} page{'s' * (row.pages != 1)}"


def _psnr(row: Row) -> str:
    """PSNR, nothing for pages without an error."""
    return f"{row.psnr_db:.1f}" if not lossless(row) else ""


def _cer(row: Row) -> str:
    return f"{row.cer_percent:.2f} [{row.cer_low:.2f}, {row.cer_high:.2f}]"


def _digits(row: Row) -> str:
    return f"{row.digits_wrong} of {row.digits}" if row.digits else ""


def _change(ours: Row, rival: Row) -> str:
    return f"{100 * (ours.bytes / rival.bytes - 1):+.0f} %"


def _bd_rates(rows: Sequence[Row]) -> Iterator[str]:
    """One line an anchor: the change of bytes at equal PSNR of every codec that has a curve."""
    curves: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        if not lossless(row) and not _ANOTHER_CODEC.search(row.setting):
            curves.setdefault(row.codec, []).append((row.psnr_db, row.bytes))
    for anchor in ANCHORS:
        points = curves.get(anchor, [])
        changes = {c: bd_rate(points, curve) for c, curve in curves.items() if c != anchor}
        known = [f"{name} {value:+.0f} %" for name, value in changes.items() if value == value]
        if known:
            yield f"BD-rate against {anchor}: {', '.join(known)}"


def write_docs(
    paths: Sequence[Path],
    rows: Sequence[Row],
    documents: Sequence[Document],
    origin: Mapping[str, Any],
) -> None:
    """Write what stands between the marks of Markdown files anew, and the figure beside the one
    that has the comparison.

    Raises UserError for a file without marks or with one of another name.
    """
    first = next(iter(by_material(rows).values()))
    pieces = {
        MAIN_PLACE: "\n".join(chain(comparison(first), [f"\n{_origin(origin)}"])),
        "leaders": "\n".join(leaders(rows)),
        "documents": "\n".join(document_table(documents)),
        "tables": "\n".join(tables(rows, short=True)).strip(),
        "readme": "\n".join(sentence(rows)),
    }
    for path in paths:
        text = path.read_text(encoding="utf-8")
        names = {match["name"] for match in _PLACE.finditer(text)}
        if not names or not names <= set(pieces):
            raise UserError(f"{path}: has no places for {', '.join(pieces)}, or one for more")
        text = _PLACE.sub(
            lambda match: (
                f"<!-- codecs: {match['name']} -->\n{pieces[match['name']]}\n<!-- /codecs -->"
            ),
            text,
        )
        write_text(path, text)
        if MAIN_PLACE in names:
            picture = path.parent / FIGURE
            picture.parent.mkdir(parents=True, exist_ok=True)
            title = f"Pages of {first[0].material}: bytes against readability"
            rate_figure(first, title, picture)


def _origin(origin: Mapping[str, Any]) -> str:
    """Commit, versions and machine."""
    commit = str(origin.get("commit"))[:7] + (" and changes" * bool(origin.get("dirty")))
    versions = " ".join(f"{name} {number}" for name, number in origin["versions"].items())
    return f"Commit {commit}, {versions}, {origin['host_kind']}."
