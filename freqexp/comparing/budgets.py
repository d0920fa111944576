"""What a run costs, as it was measured, and the Pareto set of accuracy over it.

A nominal ratio is no budget. What counts was measured: bytes that are stored, tokens the decoder's
layers saw, bytes of its cache. Milliseconds inform, but depend on the machine and its load.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from freqexp.comparing.comparison import Comparison, Row
from freqexp.comparing.rivals import acts_on_cache, acts_on_cache_alone


@dataclass(frozen=True)
class Axis:
    """What is measured, its unit for people and how many make one such unit.

    changed: whether a run acts on it, that is whether it costs other than the given baseline.
    of_cache: whether a method that compresses nothing but the KV cache can act on it.
    newer: runs of before it was measured are no fault to be told of.
    """

    name: str
    title: str
    unit: str
    scale: float
    cost: Callable[[Row], float | None]
    changed: Callable[[Row, Row], bool] = lambda row, base: True
    of_cache: bool = False
    newer: bool = False

    def acts(self, ours: Sequence[Row], rows: Sequence[Row]) -> bool:
        """Whether one of `ours` acts on it; without a baseline among `rows` they are taken to where
        they can.
        """
        able = [row for row in ours if self.of_cache or not acts_on_cache_alone(row.run)]
        bases = [row for row in rows if row.run.is_baseline]
        if not bases:
            return bool(able)
        return any(self.changed(row, base) for row in able for base in bases)

    def amount(self, cost: float) -> str:
        """A cost with its unit, as in "144 tokens a sample"."""
        return f"{cost / self.scale:.4g} {self.unit}"


def _stored(row: Row) -> float | None:
    """Bytes that keep a sample; for the baseline the smallest lossless form of its pages."""
    stored = row.means.get("stored_bytes")
    if stored is None and row.run.is_baseline:
        lossless = [row.means.get(name) for name in ("lossless_bytes", "png_bytes")]
        stored = min((size for size in lossless if size is not None), default=None)
    return stored


def _decoder_tokens(row: Row) -> float | None:
    """Tokens that a layer of the decoder sees, mean over layers: those at its input unless a method
    drops some on the way. Records of before that was measured have only the latter.
    """
    layers = row.means.get("mean_layer_tokens")
    return row.means.get("decoder_tokens") if layers is None else layers


def _operations(row: Row) -> float | None:
    """Operations of encoder, token compressor and prefill; those of a codec are not counted."""
    parts = [row.means.get(f"{stage}_flops") for stage in ("encode", "prefill", "compress")]
    known = [part for part in parts if part is not None]
    return None if None in parts[:2] else sum(known)


def _fewer_tokens(row: Row, base: Row) -> bool:
    return _decoder_tokens(row) != _decoder_tokens(base)


def _token_bytes(row: Row) -> float | None:
    """Bytes of the cache for each token of the decoder."""
    held, tokens = row.means.get("kv_cache_bytes"), _decoder_tokens(row)
    return held / tokens if held is not None and tokens else None


def _smaller_cache(row: Row, base: Row) -> bool:
    """Whether a method acts on the KV cache itself, by its stage or by what a token takes there:
    fewer tokens alone make it smaller, too.
    """
    if acts_on_cache(row.run):
        return True
    ours, theirs = _token_bytes(row), _token_bytes(base)
    return ours is not None and theirs is not None and abs(ours / theirs - 1) > _SAME_CACHE


_SAME_CACHE = 0.01

AXES = (
    Axis("stored_bytes", "stored size", "KiB a sample", 1024, _stored),
    Axis(
        "decoder_tokens",
        "decoder tokens",
        "tokens a sample",
        1,
        _decoder_tokens,
        _fewer_tokens,
    ),
    Axis(
        "kv_cache_bytes",
        "KV cache",
        "MiB a sample",
        2**20,
        lambda row: row.means.get("kv_cache_bytes"),
        _smaller_cache,
        of_cache=True,
    ),
    Axis("total_ms", "time from page to answer", "ms a sample", 1, lambda row: row.median_ms),
    Axis("flops", "counted operations", "GFLOP a sample", 1e9, _operations, newer=True),
    Axis(
        "prompt_tokens",
        "prompt tokens, as the server counts",
        "tokens a sample",
        1,
        lambda row: row.means.get("prompt_tokens"),
        newer=True,
    ),
)
BUDGETS = AXES[:3]
"""Those that a contest is about; time and operations only inform."""


@dataclass(frozen=True)
class Point:
    """A run on an axis."""

    row: Row
    cost: float
    accuracy: float


def points(rows: Sequence[Row], axis: Axis) -> list[Point]:
    """The runs whose cost and accuracy are known."""
    return [
        Point(row, cost, row.accuracy.value)
        for row in rows
        if row.accuracy is not None and (cost := axis.cost(row)) is not None
    ]


def pareto(found: Sequence[Point]) -> list[Point]:
    """Points that no other one equals at less cost or beats at no more, cheapest first."""
    best: list[Point] = []
    for point in sorted(found, key=lambda point: (point.cost, -point.accuracy)):
        if not best or point.accuracy > best[-1].accuracy:
            best.append(point)
    return best


def pareto_sets(found: Sequence[Point]) -> dict[bool, list[Point]]:
    """Pareto sets by whether the question was seen: one of the runs that compressed the KV cache
    before it was read, or not at all, and one of those that saw it, beside those of no cache.
    """
    seen = [p for p in found if p.row.run.question == "seen"]
    unseen = [p for p in found if p.row.run.question != "seen"]
    neither = [p for p in found if not acts_on_cache(p.row.run)]
    sets = {False: unseen, True: [*neither, *seen] if seen else []}
    return {asked: pareto(points) for asked, points in sets.items() if points}


def pareto_axes(comparison: Comparison) -> dict[str, list[str]]:
    """Run id -> names of the axes on whose Pareto set (within its group) the run lies, that of the
    runs which saw the question only if it did, too.
    """
    on: dict[str, list[str]] = {}
    for group in range(len(comparison.groups)):
        for axis in AXES:
            found = points(comparison.of_group(group), axis)
            for asked, best in pareto_sets(found).items() if len(found) > 1 else ():
                for run in (point.row.run for point in best):
                    if (run.question == "seen") is asked:
                        on.setdefault(run.run_id, []).append(axis.name)
    return on
