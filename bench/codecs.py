"""Every codec and setting on pages of text: bytes, PSNR, SSIM, readability, time.

    python -m bench.codecs [--quick] [--pages 3] [--lines 20] [--out outputs/bench/codecs]

Pages are conversations of the eval split, which no codebook is trained on, in two renderers at two
font sizes each, of which one size of `cells` and a third one of `glyph` are in no codebook either.
Readability is the character error rate (CER) of PP-OCR's line recogniser on the known boxes of the
first --lines lines of text of each page. SSIM is scikit-image's (7 x 7 windows). Bytes are those of
bitstreams that were decoded again, the share of a codebook (1/100 of its file) counted.

Writes table.csv and figures to --out and prints the table.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from bench import codec_figures
from freqexp.benchmarks.generate import generate
from freqexp.codecs.base import Codec, decode
from freqexp.compose import compose
from freqexp.errors import UserError
from freqexp.page import Page, Pixels
from freqexp.readers.ppocr_lines import edit_distance, line_reader
from freqexp.rendering.cells import CellsRenderer
from freqexp.rendering.glyph import GlyphRenderer

SETTINGS: dict[str, tuple[str, ...]] = {
    "png": ("",),
    "webp_lossless": ("",),
    "jxl_lossless": ("compressor.effort=9",),
    "jpeg": tuple(f"compressor.quality={q}" for q in (5, 20, 75)),
    "webp": tuple(f"compressor.quality={q}" for q in (1, 20, 75)),
    "avif": tuple(f"compressor.quality={q}" for q in (10, 20, 40, 60)),
    "jxl": tuple(f"compressor.distance={d}" for d in (1, 3, 6, 15)),
    "posterize": tuple(f"compressor.levels={n}" for n in (2, 3, 4, 8)),
    "downsample": tuple(f"keep_ratio={k} compressor.restore_size=true" for k in (0.25, 0.5)),
    "block_dct": (
        *(f"keep_ratio=1 compressor.step={s}" for s in (32, 64, 128)),
        *(f"keep_ratio={k}" for k in (0.1, 0.5)),
    ),
    "block_vq": (
        *(f"keep_ratio={k}" for k in (0.01, 0.3, 0.5, 0.7, 1)),
        "keep_ratio=0.01 compressor.codebook=false",
    ),
}
QUICK = ("jxl_lossless", "posterize", "jpeg", "block_vq")
QUICK_SIZES = (14, 23.25)
SEED = 77001


@dataclass(frozen=True)
class Material:
    """Pages of one renderer and font size. boxes: for each page its lines (rows of the box, text).

    known: whether a group of the bundled codebook was trained on this setting.
    """

    renderer: str
    font_px: float
    known: bool
    pages: list[Page]
    boxes: list[list[tuple[slice, str]]]


@dataclass(frozen=True)
class Row:
    """Means over the pages of one codec, setting, renderer and size; cer_percent over all lines."""

    renderer: str
    font_px: float
    in_codebook: bool
    codec: str
    setting: str
    bytes: float
    share_bytes: int
    psnr_db: float
    ssim: float
    cer_percent: float
    encode_ms: float
    decode_ms: float


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(description="Rate and readability of all codecs.")
    parser.add_argument("--quick", action="store_true", help="few settings, one short page each")
    parser.add_argument("--pages", type=int, default=3, help="pages of each renderer and size")
    parser.add_argument("--lines", type=int, default=20, help="lines read on each page")
    parser.add_argument("--out", type=Path, default=Path("outputs/bench/codecs"))
    options = parser.parse_args(arguments)
    if options.pages < 1 or options.lines < 1:
        parser.error("--pages and --lines: allowed: 1 or more")
    try:
        if options.quick:
            rows = measure([m for m in materials(1, 3) if m.font_px in QUICK_SIZES], QUICK)
        else:
            rows = measure(list(materials(options.pages, options.lines)), tuple(SETTINGS))
    except UserError as error:
        print(f"bench.codecs: {error}", file=sys.stderr)
        return 2
    options.out.mkdir(parents=True, exist_ok=True)
    with (options.out / "table.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Row)])
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
    for line in report(rows):
        print(line)
    print(f"{options.out / 'table.csv'}, {', '.join(map(str, draw(rows, options.out)))}")
    return 0


def measure(material: Sequence[Material], codecs: Sequence[str]) -> list[Row]:
    """All settings of these codecs on all materials."""
    chosen = [(name, setting) for name in codecs for setting in SETTINGS[name]]
    rows = []
    todo = list(itertools.product(material, chosen))
    for where, (name, setting) in tqdm(todo, unit="point", disable=not sys.stderr.isatty()):
        config = compose((f"compressor={name}", *setting.split()))
        built = config.compressor.build(config.keep_ratio, config.profile)
        assert isinstance(built, Codec)
        rows.append(_row(where, name, setting, built))
    for where in material:
        rows.append(_row(where, "none", "", None))
    return rows


def materials(pages: int, lines: int) -> Iterator[Material]:
    """The pages. Glyph pages are 595 x 842, uncropped; cells pages 24 x 24 and 33 x 24 cells."""
    samples = generate(2, pages, SEED, "long", target_chars=6000)
    for size, known in ((14, True), (12, True), (13, False)):
        pitch = size + 2
        renderer = GlyphRenderer(font_pt=size, line_height_pt=pitch, crop=False)
        drawn = [renderer.render(sample.turns)[0] for sample in samples]
        boxes = [_boxes(page.text, 10, pitch, lines) for page in drawn]
        yield Material("glyph", size, known, drawn, boxes)
    short = generate(2, pages, SEED, "short", turns=12)
    for font_px, (width, height), known in ((23.25, (14, 28), True), (16.5, (10, 20), False)):
        cells = CellsRenderer(24, 24, width, height, font_px)
        drawn = [cells.render(sample.turns)[0] for sample in short]
        boxes = [_boxes(page.text, 0, height, lines) for page in drawn]
        yield Material("cells", font_px, known, drawn, boxes)


def _boxes(text: str, first: int, pitch: int, lines: int) -> list[tuple[slice, str]]:
    """Rows of each line with text, and its text."""
    boxes = [
        (slice(first + number * pitch, first + (number + 1) * pitch), line.strip())
        for number, line in enumerate(text.split("\n"))
        if line.strip()
    ]
    return boxes[:lines]


def _row(where: Material, name: str, setting: str, codec: Codec | None) -> Row:
    sizes, psnrs, ssims, encode, decoding = [], [], [], [], []
    wrong = total = 0
    for page, boxes in zip(where.pages, where.boxes, strict=True):
        data, decoded = b"", page.pixels
        started = time.perf_counter()
        if codec is not None:
            data = codec.encode(page.pixels)
        encoded = time.perf_counter()
        if codec is not None:
            decoded = decode(data)
        done = time.perf_counter()
        size = len(data) + codec.shared_bytes if codec is not None else page.pixels.nbytes
        sizes.append(size)
        psnrs.append(_psnr(page.pixels, decoded))
        ssims.append(_ssim(page.pixels, decoded))
        encode.append(1000 * (encoded - started))
        decoding.append(1000 * (done - encoded))
        for rows, text in boxes:
            wrong += edit_distance(line_reader().read(decoded[rows]), text)
            total += len(text)
    mean = statistics.fmean
    shown = setting.replace("compressor.", "")
    share = codec.shared_bytes if codec is not None else 0
    error = 100 * wrong / total
    quality = (round(mean(psnrs), 2), round(mean(ssims), 5), round(error, 3))
    times = (round(mean(encode), 1), round(mean(decoding), 1))
    place = (where.renderer, where.font_px, where.known)
    return Row(*place, name, shown, round(mean(sizes), 1), share, *quality, *times)


def _psnr(one: Pixels, other: Pixels) -> float:
    """Peak signal-to-noise ratio in dB, 99 for equal pages."""
    error = float(((one.astype(np.float64) - other) ** 2).mean())
    return min(99.0, 10 * np.log10(255**2 / error)) if error else 99.0


def _ssim(one: Pixels, other: Pixels) -> float:
    from skimage.metrics import structural_similarity

    measure: Any = structural_similarity
    return float(measure(one, other, data_range=255))


def _by_material(rows: Sequence[Row]) -> dict[tuple[str, float, bool], list[Row]]:
    found: dict[tuple[str, float, bool], list[Row]] = {}
    for row in rows:
        found.setdefault((row.renderer, row.font_px, row.in_codebook), []).append(row)
    return found


def draw(rows: Sequence[Row], folder: Path) -> list[Path]:
    """A figure for each renderer and size."""
    paths = []
    for (renderer, size, _), group in _by_material(rows).items():
        points = [codec_figures.Point(r.codec, r.bytes, r.cer_percent, r.psnr_db) for r in group]
        path = folder / f"{renderer}_{size:g}.png"
        title = f"{renderer}, {size:g} px"
        codec_figures.rate_figure([p for p in points if p.codec != "none"], title, path)
        paths.append(path)
    return paths


def report(rows: Sequence[Row]) -> Iterator[str]:
    """The table as Markdown, one part a renderer and size: Pareto points with a star."""
    for (renderer, size, known), group in _by_material(rows).items():
        points = [codec_figures.Point(r.codec, r.bytes, r.cer_percent, r.psnr_db) for r in group]
        best = codec_figures.pareto(points)
        yield f"\n**{renderer}, {size:g} px{'' if known else ', not in the codebook'}**\n"
        yield "| codec | setting | bytes | PSNR dB | SSIM | CER % | encode ms | decode ms | |"
        yield "|---|---|---|---|---|---|---|---|---|"
        for row, star in sorted(zip(group, best, strict=True), key=lambda pair: pair[0].bytes):
            yield (
                f"| {row.codec} | {row.setting} | {row.bytes:,.0f} | {row.psnr_db:.1f} | "
                f"{row.ssim:.4f} | {row.cer_percent:.2f} | {row.encode_ms:.0f} | "
                f"{row.decode_ms:.0f} | {'*' if star else ''} |"
            )
        yield ""
        for anchor in ("posterize", "jxl"):
            for codec in sorted({p.codec for p in points} - {anchor}):
                change = codec_figures.bd_rate(points, anchor, codec)
                if change is not None:
                    yield f"BD-rate of {codec} against {anchor}: {change:+.0f} %"


if __name__ == "__main__":
    sys.exit(main())
