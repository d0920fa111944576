"""Every codec and setting on pages of text: bytes, PSNR, SSIM, readability, time.

    python -m bench.codecs [--quick] [--out outputs/bench/codecs] [--pages 2] [--lines 100]
                           [--other-pages 1] [--other-lines 12] [--document-pages 20]
                           [--codecs NAME,...] [--docs FILE...]

Pages are of twelve materials (`bench.codec_pages`): --pages of conversations of the eval split at
14 px, from which no codebook or prior is made, and --other-pages of each other one. Readability is
the character error rate (CER) of PP-OCR's line recogniser on the known boxes of lines, at most
--lines (--other-lines) of a page; its interval resamples lines. SSIM is scikit-image's (7 x 7
windows). Times are of the processor, so that a busy machine does not change them much. Bytes are
those of bitstreams that were decoded again, the share of a codebook or prior (1/100 of its file)
counted, but for documents of up to 100 pages, which count it once (--document-pages are encoded).
Codecs whose programs are not installed are left out, and a line says so.

Every row goes into table.csv in --out as soon as it is measured; the same command goes on with what
is there and computes nothing twice. Lines that were read once are in readings.jsonl, for rows of
other code, too. Prints the tables and who leads on which material, writes figures to --out, and
with --docs tables and figure into the documentation. --pages 20 --other-pages 5 takes hours.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from bench import codec_figures, codec_pages, codec_report
from bench.codec_documents import Document, document_table, measured_documents
from bench.codec_leaders import leaders
from bench.codec_pages import Amount, Material, materials
from bench.codec_quality import Figures, page_figures
from bench.codec_reading import Readings, error_interval
from bench.codec_rows import ORIGIN, Row, Rows, by_material, origin
from bench.codec_settings import SETTINGS, asked, built, not_built, shown
from freqexp.codecs.base import decode
from freqexp.errors import UserError
from freqexp.files import read_json

QUICK = ("none", "symbols", "jb2", "posterize", "block_vq")
QUICK_MATERIALS = (codec_pages.FIRST, "cells 23.25")
_WARM_ROWS = 80


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    options = _options(arguments)
    amount = Amount(options.pages, options.lines, options.other_pages, options.other_lines)
    names = tuple(SETTINGS)
    if options.quick:
        amount, names = Amount(1, 4, 1, 4), QUICK
    elif options.codecs:
        names = tuple(name for name in SETTINGS if name in ("none", *options.codecs))
    absent = {name: faults for name in names if (faults := not_built(name))}
    for name, faults in absent.items():
        print(f"bench.codecs: {name} is left out; {faults[0]}", file=sys.stderr)
    names = tuple(name for name in names if name not in absent)
    complete = not options.quick and not options.codecs
    try:
        since = origin(amount)
        kept = Rows(options.out, since)
        chosen = [m for m in materials(amount) if not options.quick or m.name in QUICK_MATERIALS]
        measure(chosen, names, kept, Readings(options.out))
        documents: list[Document] = []
        if complete:
            count, measured = options.document_pages, since["measured"]
            documents = measured_documents(options.out, count, measured)
    except UserError as error:
        print(f"bench.codecs: {error}", file=sys.stderr)
        return 2
    rows = list(filter(asked, kept.rows))
    first = next(iter(by_material(rows).values()))
    print(*codec_report.tables(rows), sep="\n")
    print(*codec_report.comparison(first), sep="\n")
    print(*leaders(rows), sep="\n")
    print(*document_table(documents), sep="\n")
    print(f"{options.out / 'table.csv'}, {', '.join(map(str, draw(rows, options.out)))}")
    if options.docs is not None:
        found = read_json(options.out / ORIGIN) or {}
        codec_report.write_docs(options.docs, rows, documents, found)
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Rate and readability of all codecs.")
    parser.add_argument("--quick", action="store_true", help="few settings, one page, four lines")
    parser.add_argument("--out", type=Path, default=None, help="default: outputs/bench/codecs")
    parser.add_argument("--codecs", type=lambda names: names.split(","), help="these alone")
    parser.add_argument("--docs", type=Path, nargs="+", help="Markdown files to write anew")
    counts = {
        "pages": f"of {codec_pages.FIRST}",
        "lines": "most lines read on each of them",
        "other-pages": "of each other material",
        "other-lines": "most lines read on each of them",
    }
    for name, what in counts.items():
        default = getattr(Amount(), name.replace("-", "_"))
        parser.add_argument(f"--{name}", type=int, default=default, help=f"{what} ({default})")
    parser.add_argument(
        "--document-pages", type=int, default=20, help="encoded for documents of up to 100 (20)"
    )
    options = parser.parse_args(arguments)
    if min(options.pages, options.other_pages, options.document_pages) < 1:
        parser.error("--pages, --other-pages, --document-pages: allowed: 1 or more")
    if min(options.lines, options.other_lines) < 2:
        parser.error("--lines, --other-lines: allowed: 2 or more")
    unknown = set(options.codecs or ()) - set(SETTINGS)
    if unknown:
        parser.error(f"--codecs: {', '.join(sorted(unknown))}, allowed: {', '.join(SETTINGS)}")
    if (options.quick or options.codecs) and options.docs:
        parser.error("--docs: the documentation has all codecs and settings")
    if options.out is None:
        kind = "_quick" * options.quick + "_some" * bool(options.codecs)
        options.out = Path("outputs/bench") / f"codecs{kind}"
    return options


def measure(
    material: Sequence[Material], codecs: Sequence[str], kept: Rows, readings: Readings
) -> None:
    """All settings of these codecs on all materials, but those that are there."""
    todo = [
        (where, name, setting)
        for where in material
        for name in codecs
        for setting in SETTINGS[name]
        if (where.name, name, shown(setting)) not in kept.keys
    ]
    terminal = sys.stderr.isatty()
    for number, (where, name, setting) in enumerate(tqdm(todo, disable=not terminal), start=1):
        row = measured(where, name, setting, readings)
        kept.add(row)
        if not terminal:
            figures = f"{row.bytes:,.0f} bytes, CER {row.cer_percent:.2f} %"
            what = f"{name} {row.setting}".strip()
            print(
                f"{number}/{len(todo)} {row.material}, {what}: {figures}",
                file=sys.stderr,
                flush=True,
            )


def measured(where: Material, name: str, setting: str, readings: Readings) -> Row:
    """One row."""
    codec = built(name, setting)
    if codec is not None:
        # What is loaded once is not part of a page's time.
        decode(codec.encode(np.ascontiguousarray(where.pages[0].pixels[:_WARM_ROWS])))
    figures = [page_figures(codec, page.pixels) for page in where.pages]
    lines = [
        line
        for figure, boxes in zip(figures, where.boxes, strict=True)
        for line in readings.errors(figure.decoded, boxes)
    ]
    low, high = error_interval(lines)

    def mean(of: Callable[[Figures], float], digits: int) -> float:
        return round(statistics.fmean(map(of, figures)), digits)

    return Row(
        material=where.name,
        trained=where.trained,
        codec=name,
        setting=shown(setting),
        pages=len(figures),
        bytes=mean(lambda f: f.size, 1),
        share_bytes=mean(lambda f: f.share, 1),
        psnr_db=mean(lambda f: f.psnr_db, 2),
        ssim=mean(lambda f: f.ssim, 5),
        characters=sum(line.characters for line in lines),
        errors=sum(line.errors for line in lines),
        cer_low=round(100 * low, 4),
        cer_high=round(100 * high, 4),
        digits=sum(line.digits for line in lines),
        digits_wrong=sum(line.digits_wrong for line in lines),
        encode_ms=mean(lambda f: f.encode_ms, 1),
        decode_ms=mean(lambda f: f.decode_ms, 1),
        text_brotli_bytes=round(where.text_brotli_bytes, 1),
    )


def draw(rows: Sequence[Row], folder: Path) -> Iterator[Path]:
    """A figure for each material."""
    for material, group in by_material(rows).items():
        path = folder / f"{material.replace(' ', '_')}.png"
        codec_figures.rate_figure(group, material, path)
        yield path


if __name__ == "__main__":
    sys.exit(main())
