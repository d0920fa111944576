"""Damaged and hostile bitstreams of every codec, and of vision tokens: each must be decoded or
name its fault.

    python -m bench.fuzz [--mutations 100000] [--seed 0] [--repaired 0.1]

Bits are flipped, bytes changed, cut out, doubled, put in, appended and taken from other bitstreams;
versions, sizes and names of codebooks are replaced by others. A share of the mutations gets a right
checksum afterwards, so that what lies behind it is met, too: those may decode to another page. The
others may not decode to anything. Prints what happened; the exit code is 1 when anything else did.
The seed repeats a run.
"""

from __future__ import annotations

import argparse
import faulthandler
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from bench.mutations import mutated
from freqexp.codecs.avif import Avif
from freqexp.codecs.base import Codec, decode
from freqexp.codecs.block_copy.codec import BlockCopy
from freqexp.codecs.block_dct import BlockDct
from freqexp.codecs.block_vq.codec import BlockVq
from freqexp.codecs.columns import CODERS
from freqexp.codecs.downsample import Downsample
from freqexp.codecs.external.codec import External
from freqexp.codecs.jb2 import Jb2
from freqexp.codecs.jbig1 import Jbig1
from freqexp.codecs.jpeg import Jpeg
from freqexp.codecs.jpeg2000 import Jpeg2000
from freqexp.codecs.jxl import Jxl
from freqexp.codecs.jxl_lossless import JxlLossless
from freqexp.codecs.png import Png
from freqexp.codecs.posterize import Posterize
from freqexp.codecs.strips import Strips
from freqexp.codecs.symbols.codec import Symbols
from freqexp.codecs.symbols.priors import load_prior
from freqexp.codecs.two_levels import TwoLevelCodec
from freqexp.codecs.webp import Webp
from freqexp.codecs.webp_lossless import WebpLossless
from freqexp.coding.bitstream import BitstreamError
from freqexp.nouns.page import Pixels
from freqexp.pages.glyph import GlyphRenderer
from freqexp.tokens.bands import limits_of, rings_of
from freqexp.tokens.bitstream import StoredTokens, pack, unpack
from freqexp.tokens.coefficients import Quantised, quantise
from freqexp.tokens.container import CODES, MAGIC
from freqexp.tokens.trained.own import own_codes
from freqexp.tokens.trained.page_codes import PageCodes
from freqexp.tokens.trained.page_codes import pack as pack_codes
from freqexp.tokens.trained.page_codes import unpack as unpack_codes
from freqexp.tokens.trained.settings import VqSettings

_KIND_AT = 5
# Their decoders take as long to start as all others take to decode, so one page of each is enough.
BY_PROGRAMS: Mapping[int, type[TwoLevelCodec]] = {of.code: of for of in (Jb2, Jbig1)}


@dataclass
class Outcome:
    """What came of the mutations: counts by kind, the slowest decode, tracebacks of failures."""

    counts: Counter[str] = field(default_factory=Counter)
    slowest_ms: float = 0.0
    failures: list[str] = field(default_factory=list)


def main() -> int:
    """Fuzz and print the counts."""
    parser = argparse.ArgumentParser(description="Damaged and hostile bitstreams.")
    parser.add_argument("--mutations", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--repaired", type=float, default=0.1, help="share with a right checksum")
    arguments = parser.parse_args()
    faulthandler.enable()
    start = time.perf_counter()
    outcome = fuzz(seeds(), arguments.mutations, arguments.seed, arguments.repaired)
    seconds = time.perf_counter() - start
    for kind, count in outcome.counts.most_common():
        print(f"{count:>9}  {kind}")
    print(f"{seconds:.1f} s, slowest decode {outcome.slowest_ms:.0f} ms")
    for failure in outcome.failures[:10]:
        print(failure, file=sys.stderr)
    return 1 if outcome.failures else 0


def seeds() -> list[bytes]:
    """Bitstreams of a small gray and a small RGB page by every codec, and of a few tokens. Codecs
    whose programs are not installed are left out.
    """
    rng = np.random.default_rng(0)
    gray = np.where(rng.random((29, 45)) < 0.2, rng.integers(0, 255, (29, 45)), 255)
    pages: list[Pixels] = [gray.astype(np.uint8)]
    pages.append(np.stack([pages[0], pages[0] // 2, 255 - pages[0]], axis=-1))
    codecs: list[Codec] = [
        BlockDct(14, 0.3),
        BlockDct(8, 0.5, "block", step=8),
        Png(),
        WebpLossless(),
        JxlLossless(),
        Jpeg(),
        Webp(),
        Avif(),
        Jxl(),
        Jpeg2000(),
        Posterize(),
        Downsample(),
        External(),
        *(Strips(levels=4, coder=coder) for coder in CODERS),
        BlockCopy(step=40),
    ]
    # Three lines are enough to find the codebook's group.
    text = GlyphRenderer(width=120, height=70, font_pt=14, line_height_pt=16, crop=False)
    words = text.render_text("The lamps\nlean out over\nthe water")[0].pixels
    vq = [BlockVq(0.3), BlockVq(0.01, codebook=False)]
    streams = [codec.encode(page) for codec in codecs for page in pages]
    streams += [codec.encode(page) for codec in vq for page in (words, pages[1])]
    streams += [codec().encode(pages[0]) for codec in installed()]
    streams += _symbols(words)
    return [*streams, *_tokens()]


def _symbols(words: Pixels) -> Iterator[bytes]:
    """Text at two levels and at 256, in one plane and three, with a prior and without; noise, whose
    shapes are coded otherwise; and pages that are stored as a picture, as copied blocks, and as
    strips, in one plane and three.
    """
    glyph = GlyphRenderer(width=220, height=70, font_pt=14, line_height_pt=16, crop=False)
    page = glyph.render_text("out over the lamps\nlean water; the\nwater leans")[0].pixels
    # Small: what a prior knows is learned again at every number of levels that is met.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "small.fqxp"
        path.write_bytes(Strips(levels=256).encode(page))
        prior = load_prior(path)
    colour = np.repeat(words[..., np.newaxis], 3, axis=2)
    colour[40:44, 8:30, 0] = 90
    for levels in (2, 256):
        for known in ((), (prior,)):
            codec = Symbols(levels=levels, priors=known)
            yield from (codec.encode(given) for given in (words, colour))
    noise = np.random.default_rng(0).integers(0, 256, (20, 30), dtype=np.uint8)
    slope = np.add.outer(np.arange(60), np.arange(80)).astype(np.uint8)
    yield from (Symbols(levels=256).encode(given) for given in (noise, slope))
    rng = np.random.default_rng(0)
    specks = np.where(rng.random((40, 60, 3)) < 0.1, rng.integers(0, 255, (40, 60, 3)), 255)
    for given in (words, specks.astype(np.uint8)):
        yield Symbols(levels=16, priors=()).encode(given)
    grain = rng.normal(0, 12, (*words.shape, 3))
    grained = np.clip(words[..., np.newaxis] / 2 + 60 + grain, 0, 255).astype(np.uint8)
    for given in (grained[..., 0], grained):
        yield Symbols(levels=8, priors=()).encode(np.ascontiguousarray(given))


def installed() -> list[type[TwoLevelCodec]]:
    """The codecs whose programs are here."""
    return [codec for codec in BY_PROGRAMS.values() if not codec.program_faults("")]


def _tokens() -> Iterator[bytes]:
    """Quantised coefficients of a grid, half of its tokens as they are, and codes of them, with a
    codebook of the page's own.
    """
    rows, columns, channels = grid = 6, 7, 4
    values = torch.randn(rows * columns, channels, generator=torch.Generator().manual_seed(0))
    bits, limits = (10, 4, 0), limits_of((rows, columns), (4.0, 8.0))
    rings = rings_of((rows, columns), limits)
    found = [
        quantise(values[: len(ring)].double(), b, (0,)) for b, ring in zip(bits, rings, strict=True)
    ]
    levels = tuple(levels for levels, _ in found)
    peaks = tuple(None if level is None else peak for level, peak in found)
    kept = torch.arange(0, rows * columns, 2)
    head = (grid[:2], channels, torch.float32, kept)
    yield pack(StoredTokens(*head, coefficients=Quantised(bits, levels, peaks, limits)))[0]
    yield pack(StoredTokens(*head, values=values[kept]))[0]
    settings = VqSettings(codes=8, domain="dct", edge_low=2.0, edge_mid=4.0)
    codes = own_codes(values, (rows, columns), settings)
    indices = tuple(codes.assign(codes.split(values, (rows, columns)), 4, improve=False))
    yield pack_codes(PageCodes((rows, columns), torch.float32, codes, False, indices))


def restore(data: bytes) -> bool:
    """Decode a page or tokens; whether the result is one. Raises BitstreamError."""
    if data[: len(MAGIC)] == MAGIC:
        if data[_KIND_AT : _KIND_AT + 1] == bytes([CODES]):
            page = unpack_codes(data, None)
            return len(page.features()) == len(page.kept) > 0
        stored = unpack(data)
        return (stored.values is None) != (stored.coefficients is None) and len(stored.kept) > 0
    pixels = decode(data)
    return pixels.dtype == np.uint8 and pixels.ndim in (2, 3) and pixels.size > 0


def fuzz(streams: Sequence[bytes], mutations: int, seed: int, repaired: float) -> Outcome:
    """Decode `mutations` mutated `streams`, a share of them with a right checksum."""
    rng = np.random.default_rng(seed)
    outcome = Outcome()
    for data, is_repaired in mutated(streams, mutations, rng, repaired):
        start = time.perf_counter()
        fault = None
        try:
            whole = restore(data)
        except BitstreamError as error:
            outcome.counts[str(error).split(":")[0]] += 1
        except BaseException:
            fault = traceback.format_exc()
        else:
            outcome.counts["decoded"] += 1
            if not whole:
                fault = "neither a page nor tokens"
            elif not is_repaired:
                fault = "decoded, although the checksum is not its own"
        if fault is not None:
            outcome.counts["FAILED"] += 1
            outcome.failures.append(f"{data.hex()[:200]}\n{fault}")
        outcome.slowest_ms = max(outcome.slowest_ms, 1000 * (time.perf_counter() - start))
    return outcome


if __name__ == "__main__":
    sys.exit(main())
