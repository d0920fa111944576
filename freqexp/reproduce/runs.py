"""A run beside the same run computed again: scores paired by sample, measured sizes exactly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from freqexp.comparing.run import Run
from freqexp.comparing.text import plain
from freqexp.config.identity import identity
from freqexp.nouns.cache import CACHE_COMPONENTS
from freqexp.published.cells import Cell, Verdict
from freqexp.reproduce.saved import Surroundings
from freqexp.results.intervals import Bounded, interval
from freqexp.results.record import Record, mean
from freqexp.results.table import number

if TYPE_CHECKING:
    from freqexp.config.run import RunConfig

SIZES = (
    "pages",
    "text_tokens",
    "text_tokens_out",
    "vision_tokens_in",
    "vision_tokens_out",
    "decoder_tokens",
    "mean_layer_tokens",
    "kv_cache_bytes",
    "kv_full_bytes",
    *(f"kv_{name}_bytes" for name in CACHE_COMPONENTS),
    "kv_shared_bytes",
    "raw_bytes",
    "nominal_ratio",
)
"""Figures without sampling error: of the same sample they are equal or they differ."""
GROWN = ("kv_end_bytes", "kv_read_bytes")
"""Sizes that grow with the answer: compared where it has as many tokens."""
ENCODED = ("png_bytes", "png_bytes_after", "lossless_bytes", "stored_bytes")
"""Sizes that the installed image libraries decide, too."""
HARMLESS = ("samples", "model.device", "model.dtype", "model.attention", "model.batch_size")
"""Settings that change how a result is computed, not what of."""


def changed_settings(then: RunConfig, now: RunConfig) -> tuple[list[str], bool]:
    """Settings that differ, as "name: a -> b", and whether one makes it another experiment."""
    before = {**_flat(identity(then)), "samples": then.samples}
    after = {**_flat(identity(now)), "samples": now.samples}
    names = [name for name in sorted({*before, *after}) if before.get(name) != after.get(name)]
    said = [f"{name}: {before.get(name)} -> {after.get(name)}" for name in names]
    return said, any(name not in HARMLESS for name in names)


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, item in value.items():
        if isinstance(item, Mapping):
            flat.update(_flat(item, f"{prefix}{name}."))
        else:
            flat[f"{prefix}{name}"] = getattr(item, "name", item)
    return flat


def no_cell(title: str, reason: str) -> Cell:
    """The one cell of a run that can't be compared."""
    return Cell(
        run=title,
        figure="accuracy",
        then="-",
        now="-",
        verdict=Verdict.not_comparable,
        reason=reason,
    )


def compare_runs(then: Run, now: Run, around: Surroundings) -> list[Cell]:
    """The cells of a run computed again, on the samples that both scored."""
    title = then.title() if then.needles == "?" else f"{then.title()}, {then.needles} needles"
    pairs, note = _pairs(then, now)
    if not pairs:
        return [no_cell(title, note or "no scored sample in common")]
    found = [
        _score_cell(title, "accuracy", [(_score(a), _score(b)) for a, b in pairs], note),
        _score_cell(
            title,
            "prefix miss rate",
            [(float(not a.prefix_hit), float(not b.prefix_hit)) for a, b in pairs],
            note,
        ),
    ]
    for name in (*SIZES, *GROWN, *ENCODED):
        alike = [(a, b) for a, b in pairs if name not in GROWN or a.new_tokens == b.new_tokens]
        values = [(getattr(a, name), getattr(b, name)) for a, b in alike]
        # Nothing was saved of what was not measured then, and nothing is in what is always zero.
        saved = any(then is not None for then, _ in values)
        if saved and any(value for pair in values for value in pair):
            found.append(_size_cell(title, name, values, around))
    return found


def _score(record: Record) -> float:
    assert record.score is not None
    return record.score


def _pairs(then: Run, now: Run) -> tuple[list[tuple[Record, Record]], str]:
    """Records of the samples scored both times, and what keeps others out."""
    before = {key: r for key, r in then.records.items() if r.score is not None}
    after = {key: r for key, r in now.records.items() if r.score is not None}
    shared = sorted(before.keys() & after.keys())
    same = [key for key in shared if before[key].expected == after[key].expected]
    total = max(len(before), len(after))
    note = "" if len(same) == total else f"on the {len(same)} samples in common, of {total}"
    return [(before[key], after[key]) for key in same], note


def _score_cell(title: str, figure: str, pairs: list[tuple[float, float]], note: str) -> Cell:
    """Reproduced when the 95 % interval of the paired difference holds zero, unless every sample
    moved the same way: a few samples have intervals that hold nearly everything.
    """
    changes = [b - a for a, b in pairs]
    differing = sum(change != 0 for change in changes)
    then, now = mean(a for a, _ in pairs), mean(b for _, b in pairs)
    if not differing:
        verdict, difference = Verdict.reproduced, f"identical on {len(pairs)} samples"
    elif len(pairs) < 2:
        verdict, difference = Verdict.differs, "the one sample differs"
    else:
        # Computed again, a sample may as well gain as lose, whatever it scored.
        low, high = interval(Bounded(changes, -1.0, 1.0))
        gap = f"{mean(changes) or 0.0:+z.4f} [{low:+z.4f}, {high:+z.4f}]"
        difference = f"{gap}, {differing} of {len(pairs)} samples differ"
        one_way = min(changes) > 0 or max(changes) < 0
        verdict = Verdict.reproduced if low <= 0 <= high and not one_way else Verdict.differs
    return Cell(
        run=title,
        figure=figure,
        then=number(then, 4),
        now=number(now, 4),
        verdict=verdict,
        difference=difference,
        reason=note,
    )


def _size_cell(title: str, figure: str, pairs: list[tuple[Any, Any]], around: Surroundings) -> Cell:
    """Reproduced when equal on every sample."""
    differing = sum(a != b for a, b in pairs)
    reason, verdict = "", Verdict.reproduced
    if differing:
        verdict = Verdict.differs
        if figure in ENCODED and around.other_versions:
            verdict, reason = Verdict.not_comparable, "written by other library versions"
    then, now = mean(a for a, _ in pairs), mean(b for _, b in pairs)
    return Cell(
        run=title,
        figure=figure,
        then=plain(number(then, 1)),
        now=plain(number(now, 1)),
        verdict=verdict,
        difference=f"{differing} of {len(pairs)} samples differ" if differing else "equal",
        reason=reason,
    )
