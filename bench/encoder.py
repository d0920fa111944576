"""Time of a vision tower with half of a page's tokens dropped before it, over the whole tower's.

    python -m bench.encoder [--repeats 5] [--threads 1] [--blocks 2]

GLM-4.1V's tower in its real width with random weights, a few of its blocks in float32 (bfloat16 on
a GPU), and the bundled reader's. Both ways take turns in one process, and the ratio is the median
of the pairs. Times are CPU time of one process on a CPU and wall time on a GPU. The exit code is 1
when a ratio is above the limit.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Iterator
from typing import Any

import torch

from bench.random_reader import taken_ms, vision_encoder
from freqexp.answering.session import Session
from freqexp.composing.compose import compose
from freqexp.readers.families.glm4v import Glm4vReader
from freqexp.readers.families.tower import encode_part

LIMIT = 0.65
PAGES = ((24, 24), (40, 32), (60, 42))
"""Rows and columns of patches: the bundled reader's page, one between, and Glyph's full page."""
BUNDLED_PAGE = PAGES[0]


def main() -> int:
    """Print one row a tower and page; 1 when one is above the limit."""
    parser = argparse.ArgumentParser(description="Tower time with half of the tokens dropped.")
    parser.add_argument("--repeats", type=int, default=5, help="measured pairs a row")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    parser.add_argument("--blocks", type=int, default=2, help="blocks of GLM-4.1V's tower")
    arguments = parser.parse_args()
    if min(arguments.repeats, arguments.threads, arguments.blocks) < 1:
        parser.error("--repeats, --threads and --blocks: allowed: 1 or more")
    torch.set_num_threads(arguments.threads)
    worst = 0.0
    print(f"{'tower':<24}{'patches':>9}{'half ms':>10}{'whole ms':>10}{'ratio':>8}")
    for name, tower, page in towers(arguments.blocks):
        half_ms, whole_ms, ratio = compared(tower, page, arguments.repeats)
        rows, columns = page
        print(
            f"{name:<24}{f'{rows} x {columns}':>9}{half_ms:>10.2f}{whole_ms:>10.2f}{ratio:>8.3f}"
            f"   (<= {LIMIT})",
            flush=True,
        )
        worst = max(worst, ratio)
    return int(worst > LIMIT)


def towers(blocks: int) -> Iterator[tuple[str, Any, tuple[int, int]]]:
    """Name, tower and page in patches of each row."""
    cuda = torch.cuda.is_available()
    device, dtype = ("cuda", torch.bfloat16) if cuda else ("cpu", torch.float32)
    encoder = vision_encoder(blocks, device, dtype)
    for page in PAGES:
        yield f"GLM-4.1V, {blocks} blocks", encoder, page
    reader = Session().reader(compose())
    assert isinstance(reader, Glm4vReader)
    yield "bundled reader", reader.model.model.visual, BUNDLED_PAGE


def compared(tower: Any, page: tuple[int, int], repeats: int) -> tuple[float, float, float]:
    """Medians of the milliseconds with half of the tokens and with all, and of their ratio."""
    rows, columns = page
    weight = tower.patch_embed.proj.weight
    patches = torch.randn(rows * columns, weight[0].numel()).to(weight)
    grid = torch.tensor([[1, rows, columns]], device=weight.device)
    every_other = torch.arange(0, rows * columns // tower.spatial_merge_size**2, 2)
    kept = every_other.to(weight.device)

    def half() -> Any:
        return encode_part(tower, patches, grid, kept)

    def whole() -> Any:
        return tower(patches, grid_thw=grid)

    with torch.inference_mode():
        half(), whole()
        pairs = [(taken_ms(half), taken_ms(whole)) for _ in range(repeats)]
    half_ms, whole_ms = (statistics.median(times) for times in zip(*pairs, strict=True))
    return half_ms, whole_ms, statistics.median(first / second for first, second in pairs)


if __name__ == "__main__":
    sys.exit(main())
