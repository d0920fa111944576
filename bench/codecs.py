"""Every codec and setting on pages of text: bytes, PSNR, SSIM, readability, time.

    python -m bench.codecs [--quick] [--out outputs/bench/codecs] [--pages 2] [--lines 100]
                           [--other-pages 1] [--other-lines 12] [--document-pages 20]
                           [--codecs NAME,...] [--jobs N] [--docs FILE...]

Pages are of twelve materials (`bench.codec_pages`): --pages of conversations of the eval split at
14 px, from which no codebook or prior is made, and --other-pages of each other one. Readability is
the character error rate (CER) of PP-OCR's line recogniser on the known boxes of lines, at most
--lines (--other-lines) of a page; its interval resamples lines. SSIM is scikit-image's (7 x 7
windows). Times are of the processor, so that a busy machine does not change them much. Bytes are
those of bitstreams that were decoded again, the share of a codebook or prior (1/100 of its file)
counted, but for documents of up to 100 pages, which count it once (--document-pages are encoded).
Codecs whose programs are not installed are left out, and a line says so.

Several processes measure (--jobs, by default one for each core, four at most), each the materials
that it takes. Every row goes into table.csv in --out as soon as it is measured; the same command
goes on with what is there and computes nothing twice. Lines that were read once are in
readings.jsonl, for rows of other code, too. Prints the tables and who leads on which material,
writes figures to --out, and with --docs tables and figure into the documentation. --pages 20
--other-pages 5 takes hours.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from tqdm import tqdm

from bench import codec_figures, codec_pages, codec_report
from bench.codec_documents import Document, document_table, measured_documents
from bench.codec_leaders import leaders
from bench.codec_measure import Task, in_processes, one_by_one
from bench.codec_pages import Amount, Material, materials
from bench.codec_reading import Readings
from bench.codec_rows import ORIGIN, Row, Rows, by_material, origin
from bench.codec_settings import SETTINGS, asked, not_built, shown
from freqexp.errors import UserError
from freqexp.files import read_json

QUICK = ("none", "symbols", "jb2", "posterize", "block_vq")
QUICK_MATERIALS = (codec_pages.FIRST, "cells 23.25")
_MOST_JOBS = 4


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
        if options.jobs > 1:
            rows_of = partial(in_processes, jobs=options.jobs, folder=options.out)
        else:
            rows_of = partial(one_by_one, readings=Readings(options.out))
        measure(chosen, names, kept, rows_of)
        documents: list[Document] = []
        if complete:
            count, measured = options.document_pages, since["measured"]
            documents = measured_documents(options.out, count, measured)
    except UserError as error:
        print(f"bench.codecs: {error}", file=sys.stderr)
        return 2
    order = [where.name for where in chosen]
    rows = sorted(filter(asked, kept.rows), key=lambda row: order.index(row.material))
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
    jobs = min(os.cpu_count() or 1, _MOST_JOBS)
    parser.add_argument("--jobs", type=int, default=jobs, help=f"processes ({jobs})")
    options = parser.parse_args(arguments)
    if min(options.pages, options.other_pages, options.document_pages, options.jobs) < 1:
        parser.error("--pages, --other-pages, --document-pages, --jobs: allowed: 1 or more")
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
    material: Sequence[Material],
    codecs: Sequence[str],
    kept: Rows,
    rows_of: Callable[[Sequence[Task]], Iterable[Row]],
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
    found = tqdm(rows_of(todo), total=len(todo), disable=not terminal)
    for number, row in enumerate(found, start=1):
        kept.add(row)
        if not terminal:
            figures = f"{row.bytes:,.0f} bytes, CER {row.cer_percent:.2f} %"
            what = f"{row.codec} {row.setting}".strip()
            print(
                f"{number}/{len(todo)} {row.material}, {what}: {figures}",
                file=sys.stderr,
                flush=True,
            )


def draw(rows: Sequence[Row], folder: Path) -> Iterator[Path]:
    """A figure for each material."""
    for material, group in by_material(rows).items():
        path = folder / f"{material.replace(' ', '_')}.png"
        codec_figures.rate_figure(group, material, path)
        yield path


if __name__ == "__main__":
    sys.exit(main())
