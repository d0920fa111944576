"""Damaged and hostile bitstreams of every codec: each must decode to a page or name its fault.

    python -m bench.fuzz [--mutations 100000] [--seed 0] [--repaired 0.1]

Bits are flipped, bytes changed, cut out, doubled, put in and taken from other bitstreams. A share
of the mutations gets a right checksum afterwards, so that what lies behind it is met, too. Prints
what happened; the exit code is 1 when anything but a page or a BitstreamError came back. The seed
repeats a run.
"""

from __future__ import annotations

import argparse
import faulthandler
import sys
import time
import traceback
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from freqexp.bitstream import BitstreamError
from freqexp.codecs.avif import Avif
from freqexp.codecs.base import Codec, decode
from freqexp.codecs.block_dct import BlockDct
from freqexp.codecs.downsample import Downsample
from freqexp.codecs.jpeg import Jpeg
from freqexp.codecs.jxl import Jxl
from freqexp.codecs.jxl_lossless import JxlLossless
from freqexp.codecs.png import Png
from freqexp.codecs.posterize import Posterize
from freqexp.codecs.webp import Webp
from freqexp.codecs.webp_lossless import WebpLossless
from freqexp.page import Pixels

CHECKSUM_BYTES = 4


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
    """Bitstreams of a small gray and a small RGB page by every codec."""
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
        Posterize(),
        Downsample(),
    ]
    return [codec.encode(page) for codec in codecs for page in pages]


def fuzz(streams: Sequence[bytes], mutations: int, seed: int, repaired: float) -> Outcome:
    """Decode `mutations` mutated `streams`, a share of them with a right checksum."""
    rng = np.random.default_rng(seed)
    outcome = Outcome()
    for data in mutated(streams, mutations, rng, repaired):
        start = time.perf_counter()
        try:
            page = decode(data)
        except BitstreamError as error:
            outcome.counts[str(error).split(":")[0]] += 1
        except BaseException:
            outcome.failures.append(f"{data.hex()[:200]}\n{traceback.format_exc()}")
            outcome.counts["FAILED"] += 1
        else:
            whole = page.dtype == np.uint8 and page.ndim in (2, 3) and page.size > 0
            outcome.counts["a page" if whole else "FAILED"] += 1
        outcome.slowest_ms = max(outcome.slowest_ms, 1000 * (time.perf_counter() - start))
    return outcome


def mutated(
    streams: Sequence[bytes], mutations: int, rng: np.random.Generator, repaired: float
) -> Iterator[bytes]:
    """One mutation after the other; none is the stream it came from."""
    done = 0
    while done < mutations:
        original = streams[int(rng.integers(len(streams)))]
        data = bytearray(original)
        if rng.random() < repaired:
            del data[-CHECKSUM_BYTES:]
            mutate(data, streams, rng)
            data += zlib.crc32(data).to_bytes(CHECKSUM_BYTES, "little")
        else:
            mutate(data, streams, rng)
        if data != original:
            done += 1
            yield bytes(data)


def mutate(data: bytearray, streams: Sequence[bytes], rng: np.random.Generator) -> None:
    """Change `data` in place in one to three places."""
    for _ in range(rng.integers(1, 4)):
        place = int(rng.integers(len(data) + 1))
        length = int(rng.integers(1, 9))
        match rng.integers(6):
            case 0:
                if place < len(data):
                    data[place] ^= 1 << int(rng.integers(8))
            case 1:
                data[place : place + length] = rng.bytes(length)
            case 2:
                del data[place : place + length]
            case 3:
                data[place:place] = data[place : place + length]
            case 4:
                del data[place:]
            case _:
                other = streams[int(rng.integers(len(streams)))]
                start = int(rng.integers(len(other)))
                data[place : place + length] = other[start : start + length]


if __name__ == "__main__":
    sys.exit(main())
