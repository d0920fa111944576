"""What choosing vision tokens takes beside the vision tower that made them.

    OMP_NUM_THREADS=1 python -m bench.selectors [--repeats 3]

Every token method with its default settings at keep ratio 0.5, on pages of GLM-4.1V's size in
bfloat16, one thread. The tower is that of GLM-4.1V with random weights in float32, because few
processors have bfloat16 arithmetic and without it the tower would look slower than it need be. Two
of its 24 blocks are there; the time of a page is that of a pass plus 22 times its mean block, and
the pages of a shape take that much each. Tower and methods take turns, a share is the median over
the rounds, times are CPU time of one process.

`compress` is what a run measures as compress_ms: the choice and the bitstream of what stays, which
is written, read again and compared. The limit is for that. `selection` is the same call with
nothing stored. Methods whose count follows from the page choose among tokens half of which are
blank. Methods with parameters choose nothing and are not among them. Exit status 1 where a limit is
missed.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from bench.methods import CHANNELS
from bench.random_reader import DEPTH, vision_encoder
from freqexp.composing.compose import compose
from freqexp.nouns.vision import Signal, VisionTokens
from freqexp.schemas.compressor import COMPRESSORS
from freqexp.schemas.learned import LearnedConfig
from freqexp.schemas.method import CompressorConfig
from freqexp.schemas.section import option_name
from freqexp.tokens.base import TokenCompressor

SHAPES = ((8, (12, 12)), (1, (30, 21)))
KEEP_RATIO = 0.5
BLOCKS = 2
PATCH, HEAD_CHANNELS, WORDS = 14, 128, 20
LIMIT, GREEDY_LIMIT = 0.02, 0.10
GREEDY = ("divprune", "scope", "cdprune", "tome")
STORES = ("freqexp.tokens.kept.store", "freqexp.tokens.dct.store")

HEAD = f"{'method':<14}{'compress ms':>12}{'share':>9}{'selection ms':>14}{'share':>9} limit"


@dataclass(frozen=True)
class Turn:
    """Milliseconds of one method, for all pages of a shape, and of the tower for the same pages."""

    compress: float
    selection: float
    tower: float


def main() -> None:
    """Print a row for each method and shape; exit status 1 where a limit is missed."""
    parser = argparse.ArgumentParser(description="Token methods beside the vision tower.")
    parser.add_argument("--repeats", type=int, default=3, help="measured rounds a shape")
    arguments = parser.parse_args()
    if arguments.repeats < 1:
        parser.error("--repeats: allowed: 1 or more")
    torch.set_num_threads(1)
    tower = Tower()
    missed = 0
    for count, grid in SHAPES:
        pages = [made_up(grid, seed) for seed in range(count)]
        rounds = measure(tower, pages, arguments.repeats)
        tower_ms = statistics.median(turn.tower for turn in next(iter(rounds.values())))
        size = f"[{count}, {grid[0] * grid[1]}, {CHANNELS}]"
        how = f"{DEPTH} blocks from {BLOCKS} timed, float32, 1 thread"
        print(f"{size} bfloat16, vision tower {tower_ms:,.0f} ms ({how})")
        print(HEAD)
        for name, turns in rounds.items():
            line, met = judged(name, turns)
            missed += not met
            print(line, flush=True)
    if missed:
        raise SystemExit(1)


def judged(name: str, turns: list[Turn]) -> tuple[str, bool]:
    """A method's row of medians, and whether its share is within the limit."""
    compress = statistics.median(turn.compress for turn in turns)
    share = statistics.median(turn.compress / turn.tower for turn in turns)
    selection = statistics.median(turn.selection for turn in turns)
    alone = statistics.median(turn.selection / turn.tower for turn in turns)
    limit = GREEDY_LIMIT if name in GREEDY else LIMIT
    figures = f"{compress:>12.1f}{share:>9.2%}{selection:>14.1f}{alone:>9.2%}"
    verdict = "met" if share <= limit else "missed"
    return f"{name:<14}{figures}{limit:>6.0%}  {verdict}", share <= limit


def measure(tower: Tower, pages: list[VisionTokens], repeats: int) -> dict[str, list[Turn]]:
    """Rounds of the tower and every method, by the method's name; the first is not counted."""
    rounds: dict[str, list[Turn]] = {name: [] for name, _, _ in methods()}
    for _ in range(repeats + 1):
        tower_ms = len(pages) * tower.page_ms(pages[0].grid)
        for name, compressor, signals in methods():
            given = [with_signals(page, signals) for page in pages]
            compress_ms = compressing_ms(compressor, given)
            with nothing_stored():
                selection_ms = compressing_ms(compressor, given)
            rounds[name].append(Turn(compress_ms, selection_ms, tower_ms))
    return {name: turns[1:] for name, turns in rounds.items()}


def methods() -> Iterator[tuple[str, TokenCompressor, tuple[Signal, ...]]]:
    """Every option that acts on vision tokens and has no parameters: its name, its compressor and
    what that asks for.
    """
    profile = compose().profile
    for option in COMPRESSORS:
        if option.stage == "token" and not issubclass(option, LearnedConfig):
            config: CompressorConfig = option()  # type: ignore[call-arg]
            compressor = config.build(KEEP_RATIO, profile)
            assert isinstance(compressor, TokenCompressor)
            yield option_name(option), compressor, config.signals


def made_up(grid: tuple[int, int], seed: int) -> VisionTokens:
    """A page of random tokens that is blank from the middle of each line on, with all signals."""
    size, rng = grid[0] * grid[1], np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (*grid, 2 * PATCH, 2 * PATCH, 3), dtype=np.uint8)
    pixels[:, grid[1] // 2 :] = 255
    attention = torch.from_numpy(rng.random(size)).float()
    signals: dict[Signal, torch.Tensor] = {
        "pixels": torch.from_numpy(pixels).flatten(0, 1),
        "attention": attention / attention.sum(),
        "keys": torch.from_numpy(rng.normal(size=(size, HEAD_CHANNELS))).float(),
        "question": torch.from_numpy(rng.normal(size=(WORDS, CHANNELS))).bfloat16(),
    }
    features = torch.from_numpy(rng.normal(size=(size, CHANNELS))).bfloat16()
    return VisionTokens(features, grid, signals=signals)


def with_signals(page: VisionTokens, names: tuple[Signal, ...]) -> VisionTokens:
    """A page with the signals asked for and no other."""
    signals = {name: page.signals[name] for name in names}
    return VisionTokens(page.features, page.grid, signals=signals)


@contextmanager
def nothing_stored() -> Iterator[None]:
    """Methods write no bitstream meanwhile, and read and compare none."""
    with ExitStack() as stack:
        for store in STORES:
            stack.enter_context(patch(store, lambda *_: (b"", {})))
        yield


def compressing_ms(compressor: TokenCompressor, pages: list[VisionTokens]) -> float:
    """CPU time of all pages in milliseconds, which other programs do not lengthen."""
    started = time.process_time()
    for page in pages:
        compressor.compress(page)
    return 1000 * (time.process_time() - started)


class Tower:
    """GLM-4.1V's vision tower with its first blocks, which says when a pass enters and leaves
    them.
    """

    def __init__(self) -> None:
        """Random weights in float32."""
        self._encoder = vision_encoder(BLOCKS, "cpu", torch.float32)
        self._entered = self._left = 0.0
        self._encoder.blocks[0].register_forward_pre_hook(self._enter)
        self._encoder.blocks[-1].register_forward_hook(self._leave)

    def page_ms(self, grid: tuple[int, int]) -> float:
        """CPU time of a page of `grid` merged tokens through a tower of full depth."""
        size = (2 * grid[0], 2 * grid[1])
        pixels = torch.randn(size[0] * size[1], 3 * 2 * PATCH**2)
        shape = torch.tensor([[1, *size]])
        started = time.process_time()
        with torch.inference_mode():
            self._encoder(pixels, shape)
        whole = time.process_time() - started
        return 1000 * (whole + (self._left - self._entered) / BLOCKS * (DEPTH - BLOCKS))

    def _enter(self, *_: Any) -> None:
        self._entered = time.process_time()

    def _leave(self, *_: Any) -> None:
        self._left = time.process_time()


if __name__ == "__main__":
    main()
