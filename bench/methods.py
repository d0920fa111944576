"""Milliseconds a page of each compressor, beside a direct SciPy implementation of the same steps.

    python -m bench.methods [--repeats 15] [--threads 1]

The two take turns in one process, so that a machine that is busy or throttled slows both: the ratio
(SciPy over freqexp, the median of the pairs) is the result, the milliseconds are this machine's at
the moment. A turn of block_dct is a document of five pages, one after the other. The last column
says how far the two results agree, the last line what the machine needs at least for the
transforms of block_dct. NumPy takes as many threads as OMP_NUM_THREADS gives it.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.fft
import scipy.fftpack
import torch

from freqexp.benchmarks.generate import generate
from freqexp.codecs.block_dct import BlockDct, page_of_levels
from freqexp.nouns.page import Pixels
from freqexp.nouns.vision import CompressedTokens, VisionTokens
from freqexp.pages.glyph import GlyphRenderer
from freqexp.tokens.dct import TokenDct

BLOCK = 14
BITS, EDGES = (8, 4, 0), (4.0, 8.0)
CHANNELS = 4096


@dataclass(frozen=True)
class Contest:
    """Two implementations of the same steps, the inputs of one turn, and what says that they
    agree.
    """

    name: str
    ours: Callable[[Any], Any]
    direct: Callable[[Any], Any]
    agreement: Callable[[Any, Any], str]
    inputs: Sequence[Any]


def main() -> None:
    """Print one row for each method and size."""
    parser = argparse.ArgumentParser(description="Milliseconds a page of each compressor.")
    parser.add_argument("--repeats", type=int, default=15, help="measured pairs a row")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch and SciPy")
    arguments = parser.parse_args()
    if arguments.repeats < 1 or arguments.threads < 1:
        parser.error("--repeats and --threads: allowed: 1 or more")
    torch.set_num_threads(arguments.threads)
    print(f"{'method':<52}{'freqexp ms':>12}{'SciPy ms':>11}{'ratio':>8}  agreement")
    with scipy.fft.set_workers(arguments.threads):
        for contest in contests():
            ours_ms, direct_ms, ratio = measure(contest, arguments.repeats)
            first = contest.inputs[0]
            agreement = contest.agreement(contest.ours(first), contest.direct(first))
            print(
                f"{contest.name:<52}{ours_ms:>12.2f}{direct_ms:>11.2f}{ratio:>7.2f}x  {agreement}"
            )
    print(f"bound of the transforms: {bound_ms(text_pages()[0]):.2f} ms")


def measure(contest: Contest, repeats: int) -> tuple[float, float, float]:
    """Medians over pairs of turns: our ms an input, the direct ms, direct over ours."""
    turns = [
        (time_ms(contest.ours, contest.inputs), time_ms(contest.direct, contest.inputs))
        for _ in range(repeats + 1)
    ][1:]
    ours_ms, direct_ms = (statistics.median(times) for times in zip(*turns, strict=True))
    return ours_ms, direct_ms, statistics.median(direct / ours for ours, direct in turns)


def time_ms(call: Callable[[Any], Any], inputs: Sequence[Any]) -> float:
    """Wall time of a call in milliseconds, the mean over the inputs."""
    start = time.perf_counter()
    for value in inputs:
        call(value)
    return 1000 * (time.perf_counter() - start) / len(inputs)


def contests() -> Iterator[Contest]:
    """block_dct on a rendered page (encode and decode, without entropy coding), beside SciPy block
    by block and all blocks at once; then the token DCT on random features of two grids.
    """
    pages = text_pages()
    size = f"{pages[0].shape[1]}x{pages[0].shape[0]}"
    for keep_ratio in (0.5, 0.1):
        for threshold in ("image", "block"):
            ours = partial(quantised_page, BlockDct(BLOCK, keep_ratio, threshold))
            name = f"block_dct {size} keep {keep_ratio} by {threshold}"
            if threshold == "image":
                looped = partial(fftpack_block_dct, keep_ratio)
                yield Contest(f"{name}, fftpack", ours, looped, agreement_of_pages, pages)
            direct = partial(direct_block_dct, keep_ratio, threshold)
            yield Contest(name, ours, direct, agreement_of_pages, pages)
    for grid in ((12, 12), (30, 21)):
        for dtype in (torch.float32, torch.bfloat16):
            noise = np.random.default_rng(0).normal(size=(grid[0] * grid[1], CHANNELS))
            tokens = VisionTokens(torch.from_numpy(noise).to(dtype), grid)
            yield Contest(
                f"token [{len(noise)}, {CHANNELS}] {str(dtype).removeprefix('torch.')} keep 0.5",
                TokenDct(0.5, BITS, EDGES).compress,
                partial(direct_token_dct, 0.5),
                agreement_of_tokens,
                [tokens],
            )


def text_pages() -> list[Pixels]:
    """Full pages of a generated conversation with Glyph's settings: five of gray [842, 595]."""
    sample = generate(2, 1, 0, "long", target_chars=60_000)[0]
    return [page.pixels for page in GlyphRenderer(crop=False).render(sample.turns)[:5]]


def quantised_page(codec: BlockDct, page: Pixels) -> Pixels:
    """block_dct's encoder and decoder but for the entropy coder between them."""
    levels, _ = codec.kept_levels(page)
    return page_of_levels(levels, 1, page.shape)


def fftpack_block_dct(keep_ratio: float, page: Pixels) -> Pixels:
    """Algorithm 1 as it reads: scipy.fftpack block by block, one percentile, and back again."""
    height, width = page.shape
    padded = np.pad(page, ((0, -height % BLOCK), (0, -width % BLOCK)), mode="edge")
    coefficients = np.empty(padded.shape)
    areas = [
        (slice(top, top + BLOCK), slice(left, left + BLOCK))
        for top in range(0, padded.shape[0], BLOCK)
        for left in range(0, padded.shape[1], BLOCK)
    ]
    for area in areas:
        rows = scipy.fftpack.dct(padded[area].astype(np.float64), axis=0, norm="ortho")
        coefficients[area] = scipy.fftpack.dct(rows, axis=1, norm="ortho")
    tau = np.percentile(np.abs(coefficients), 100 * (1 - keep_ratio))
    kept = np.abs(coefficients) >= tau
    kept[::BLOCK, ::BLOCK] = True
    coefficients[~kept] = 0
    restored = np.empty(padded.shape)
    for area in areas:
        rows = scipy.fftpack.idct(coefficients[area], axis=0, norm="ortho")
        restored[area] = scipy.fftpack.idct(rows, axis=1, norm="ortho")
    pixels: Pixels = np.rint(np.clip(restored, 0, 255)).astype(np.uint8)[:height, :width]
    return pixels


def bound_ms(page: Pixels) -> float:
    """What this machine needs at least for the DCT and its inverse of a page: the multiplications
    at the speed of a large float64 matrix product, and one pass over the page each way.
    """
    matrix = np.ones((512, 512))
    product = min(time_ms(matrix.__matmul__, [matrix]) for _ in range(20))
    values = np.ones(page.size, dtype=np.uint8)
    copy = min(time_ms(np.copy, [values]) for _ in range(20))
    operations = 2 * 2 * 2 * BLOCK * page.size
    return product * operations / (2 * 512**3) + 2 * copy


def direct_block_dct(keep_ratio: float, threshold: str, page: Pixels) -> Pixels:
    """Algorithm 1 as it is written: SciPy's transforms, NumPy's percentile, all blocks at once."""
    height, width = page.shape
    padded = np.pad(page, ((0, -height % BLOCK), (0, -width % BLOCK)), mode="edge")
    rows, columns = padded.shape[0] // BLOCK, padded.shape[1] // BLOCK
    blocks = padded.reshape(rows, BLOCK, columns, BLOCK).swapaxes(1, 2).astype(np.float64)
    coefficients = scipy.fft.dctn(blocks, axes=(2, 3), norm="ortho")
    magnitude = np.abs(coefficients)
    axes = None if threshold == "image" else (2, 3)
    tau = np.percentile(magnitude, 100 * (1 - keep_ratio), axis=axes, keepdims=True)
    kept = magnitude >= tau
    kept[:, :, 0, 0] = True
    restored = scipy.fft.idctn(np.where(kept, coefficients, 0), axes=(2, 3), norm="ortho")
    whole = restored.swapaxes(1, 2).reshape(padded.shape)[:height, :width]
    pixels: Pixels = np.rint(np.clip(whole, 0, 255)).astype(np.uint8)
    return pixels


def direct_token_dct(
    keep_ratio: float, tokens: VisionTokens
) -> tuple[torch.Tensor, npt.NDArray[np.int64]]:
    """Algorithm 2 with SciPy's transform: features [kept, channels] and the kept positions."""
    rows, columns = tokens.grid
    features = tokens.features.double().numpy().reshape(rows, columns, -1)
    coefficients = scipy.fft.dctn(features, axes=(0, 1), norm="ortho")
    frequency = np.hypot(*np.ogrid[:rows, :columns])
    low, mid = frequency < EDGES[0], (frequency >= EDGES[0]) & (frequency < EDGES[1])
    for band, bits in zip((low, mid, ~(low | mid)), BITS, strict=True):
        values = coefficients[band]
        if bits == 0:
            coefficients[band] = 0
        else:
            step = np.abs(values).max(axis=0) / (2 ** (bits - 1) - 1)
            coefficients[band] = np.rint(values / step) * step
    restored = scipy.fft.idctn(coefficients, axes=(0, 1), norm="ortho").reshape(rows * columns, -1)
    energy = ((restored - restored.mean(axis=0)) ** 2).sum(axis=1)
    count = max(1, int(keep_ratio * rows * columns + 0.5))
    kept = np.sort(np.argsort(-energy, kind="stable")[:count])
    return torch.from_numpy(restored[kept]).to(tokens.features.dtype), kept


def agreement_of_pages(ours: Pixels, direct: Pixels) -> str:
    """How far the quantiser takes the pages apart."""
    difference = np.abs(ours.astype(np.int64) - direct)
    return f"{100 * np.mean(difference <= 1):.2f} % of the pixels within 1"


def agreement_of_tokens(
    ours: CompressedTokens, direct: tuple[torch.Tensor, npt.NDArray[np.int64]]
) -> str:
    """Whether the same tokens are kept, and the largest difference of their features."""
    features, kept = direct
    if not np.array_equal(ours.kept.numpy(), kept):
        return "other tokens kept"
    difference = (ours.features.double() - features.double()).abs().max()
    return f"same tokens, features within {difference:.1e}"


if __name__ == "__main__":
    main()
