"""What compressing the KV cache saves, and what it takes beside the decoder.

    OMP_NUM_THREADS=1 python -m bench.kv [--tokens 8192] [--decode-tokens 16384] [--repeats 3]
                                         [--steps 20]

One decoder layer of GLM-4.1V (hidden 4096, 32 query heads, 2 KV heads of 128, MLP 13696) with
random weights, one thread, times in CPU time of one process. Three tables:

1. Bytes held of a bfloat16 layer by every option on the cache at keep ratio 0.5, read off the
   storages, and what the storages of its components add up to, both within 1 % of a sum by hand.
2. Compressing that layer once over its prefill, which runs once, in float32: few processors have
   bfloat16 arithmetic, and without it the prefill would be slower and every share smaller. The
   limit is for the methods in LIMITED; the others are reported.
3. Decoding one token through the layer with its whole cache, with a quarter of it and with KIVI's
   4 bits, which take turns, all in float32, and the most that updating and reading the cache
   allocates beside what was held before. A ratio is the median over the turns.

Exit status 1 where a limit is missed.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Iterator
from typing import Any

import torch
from transformers.cache_utils import Cache, DynamicLayer

from bench.kv_layer import (
    CHANNELS,
    KEEP_RATIO,
    KV_HEADS,
    QUARTER,
    WHOLE,
    Layer,
    decode_caches,
    holder,
    made_up,
    options,
    update_peak,
)
from bench.random_reader import taken_ms
from freqexp.readers.held import storages
from freqexp.readers.meter import held

HALF = 2
"""Bytes of a bfloat16."""
HAND_LIMIT = 0.01
KIVI_LIMIT = 0.36
PREFILL_LIMIT = 0.05
LIMITED = ("kv_random", "sink_recent", "snapkv", "keydiff")
DECODE_LIMIT = 1.0

Row = tuple[list[str], bool]
"""Cells, and whether every limit is met."""


def main() -> None:
    """Print the tables; exit status 1 where a limit is missed."""
    parser = argparse.ArgumentParser(description="The KV cache: bytes, compressing, decoding.")
    parser.add_argument("--tokens", type=int, default=8192, help="of the prompt, 160 or more")
    parser.add_argument("--decode-tokens", type=int, default=16_384, help="held while decoding")
    parser.add_argument("--repeats", type=int, default=3, help="measured calls of each compressor")
    parser.add_argument("--steps", type=int, default=20, help="measured tokens of each cache")
    given = parser.parse_args()
    if min(given.tokens, given.decode_tokens) < 160:
        parser.error("--tokens, --decode-tokens: allowed: 160 or more")
    if min(given.repeats, given.steps) < 1:
        parser.error("--repeats, --steps: allowed: 1 or more")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    layer = Layer()
    with torch.inference_mode():
        met = [
            table(
                f"Bytes held, {given.tokens:,} tokens in bfloat16",
                ("option", "held", "components", "by hand", "of bf16", "verdict"),
                byte_rows(given.tokens),
            ),
            table(
                f"Compressing one layer, {given.tokens:,} tokens",
                ("option", "ms", "of prefill", "limit", "verdict"),
                compress_rows(layer, given.tokens, given.repeats),
            ),
            table(
                f"Decoding through one layer, {given.decode_tokens:,} tokens in float32",
                ("cache", "held MiB", "update peak MiB", "ms a token", "of whole", "verdict"),
                decode_rows(layer, given.decode_tokens, given.steps),
            ),
        ]
    if not all(met):
        raise SystemExit(1)


def table(title: str, head: tuple[str, ...], rows: Iterator[Row]) -> bool:
    """Print a table as its rows come; whether all limits are met."""
    print(f"\n**{title}**\n\n| {' | '.join(head)} |\n|{'---|' * len(head)}", flush=True)
    met = True
    for cells, good in rows:
        print(f"| {' | '.join(cells)} |", flush=True)
        met &= good
    return met


def by_hand(name: str, tokens: int) -> int:
    """Bytes of a layer by arithmetic alone; `name` as of `options`."""
    row = KV_HEADS * CHANNELS
    if name == "fp8":
        scales = 4 + 4
        return 2 * row * tokens + scales
    if name == "low_rank":
        numbers = KEEP_RATIO * tokens * CHANNELS
        rank = math.floor((numbers - CHANNELS) / (tokens + CHANNELS))
        return 2 * KV_HEADS * (rank * (tokens + CHANNELS) + CHANNELS) * HALF
    if name.startswith("kivi"):
        bits = int(name.split()[1])
        group = residual = 32
        total = 0.0
        for window in (tokens % residual, min(tokens, residual)):
            packed = row * (tokens - window)
            total += packed * bits / 8 + 2 * packed / group * HALF + row * window * HALF
        return round(total)
    kept = math.floor(KEEP_RATIO * tokens + 0.5)
    return kept * 2 * row * HALF


def byte_rows(tokens: int) -> Iterator[Row]:
    """What each option holds."""
    layer = made_up(tokens, torch.bfloat16)
    full = layer.keys.nbytes + layer.values.nbytes
    for name, config in options():
        thing = holder(config)(layer)
        size = sum(storages(thing).values())
        parts = sum(held([thing], [0])[0].components.values())
        yield judged_bytes(name, size, parts, by_hand(name, tokens), full)


def judged_bytes(name: str, size: int, parts: int, hand: int, full: int) -> Row:
    """A row of bytes held, of components, by hand and of the whole cache."""
    met = max(abs(size - hand), abs(parts - hand)) <= HAND_LIMIT * hand
    allowed = f"within {HAND_LIMIT:.0%} of by hand"
    if name == "kivi, 4 bits":
        met &= size <= KIVI_LIMIT * full
        allowed += f", <= {KIVI_LIMIT}"
    figures = [f"{number:,}" for number in (size, parts, hand)]
    return [name, *figures, f"{size / full:.4f}", f"{_verdict(met)} ({allowed})"], met


def compress_rows(layer: Layer, tokens: int, repeats: int) -> Iterator[Row]:
    """Compressing what the layer made of a prompt, over making it."""
    cache = Cache(layers=[DynamicLayer()])
    prefill_ms = taken_ms(lambda: layer.forward(tokens, 0, cache))
    yield ["prefill of the layer", f"{prefill_ms:,.1f}", "", "", "measured once, float32"], True
    made: Any = cache.layers[0]
    given = made_up(tokens, torch.bfloat16)
    given.keys.copy_(made.keys[0])
    given.values.copy_(made.values[0])
    for name, config in options():
        hold = holder(config)
        hold(given)
        times = [taken_ms(lambda: hold(given)) for _ in range(repeats)]  # noqa: B023
        yield judged_share(name, statistics.median(times), prefill_ms)


def judged_share(name: str, compress_ms: float, prefill_ms: float) -> Row:
    """A row of a method's time over the prefill's."""
    share = compress_ms / prefill_ms
    limited = name in LIMITED
    below = share <= PREFILL_LIMIT
    verdict = _verdict(below) if limited else f"reported, {'below' if below else 'ABOVE'} 5 %"
    limit = f"{PREFILL_LIMIT:.0%}" if limited else "-"
    return [name, f"{compress_ms:,.1f}", f"{share:.2%}", limit, verdict], below or not limited


def decode_rows(layer: Layer, tokens: int, steps: int) -> Iterator[Row]:
    """A token at a time through the layer, the caches in turns."""
    caches = decode_caches(tokens)
    times: dict[str, list[float]] = {name: [] for name in caches}
    for step in range(steps + 1):
        for name, cache in caches.items():
            place = tokens + step
            times[name].append(taken_ms(lambda: layer.forward(1, place, cache)))  # noqa: B023
    # The first turn is not counted.
    times = {name: taken[1:] for name, taken in times.items()}
    for name, cache in caches.items():
        size = sum(storages(cache.layers[0]).values())
        yield judged_step(name, times[name], times[WHOLE], size, update_peak(cache))


def judged_step(name: str, taken: list[float], whole: list[float], size: int, peak: int) -> Row:
    """A row of milliseconds a token beside those with the whole cache, turn by turn."""
    ratio = statistics.median(one / other for one, other in zip(taken, whole, strict=True))
    met = name != QUARTER or ratio <= DECODE_LIMIT
    verdict = f"{_verdict(met)} (<= {DECODE_LIMIT:g})" if name == QUARTER else "reported"
    memory = [f"{count / 2**20:.2f}" for count in (size, peak)]
    return [name, *memory, f"{statistics.median(taken):.2f}", f"{ratio:.3f}", verdict], met


def _verdict(met: bool) -> str:
    return "met" if met else "missed"


if __name__ == "__main__":
    main()
